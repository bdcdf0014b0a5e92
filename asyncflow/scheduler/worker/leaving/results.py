"""What handlers return, where somebody wants it: as it is kept."""

from __future__ import annotations

from typing import Any, NamedTuple

from asyncflow.errors import InvalidResultError
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.declarations.signals import RejectTask


class Result(NamedTuple):
    """Hold what a handler returned, as JSON; one that is not kept is for the task that follows."""

    text: str
    is_kept: bool


def result_of(returned: Any, task_type: HandlerType, most_bytes: int) -> Result:
    """Return what a handler returned as it is kept; raises RejectTask, for what cannot be kept never will be."""
    try:
        text = task_type.handling().signature.result(returned)
        _require_size(task_type.name, len(text.encode()), most_bytes)
    except InvalidResultError as error:
        raise RejectTask(str(error)) from error
    return Result(text, task_type.keep_result)


def _require_size(name: str, size: int, most: int) -> None:
    if size > most:
        raise InvalidResultError(
            f"the result of {name}() is {size} bytes, the limit is {most}; store it elsewhere and return a reference, "
            f"or raise Outbox(max_message_bytes=...)"
        )
