"""The wish to have an outcome told, carried by a task among its headers: who settles it may know no declaration."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.task import OUTCOME_TO


class Telling(NamedTuple):
    """Hold of which type the message is that tells of an outcome, and its retries."""

    task_type: str
    max_retries: int


def with_telling(headers: str | None, to: MessageType) -> str:
    """Return headers that ask for a message of a type."""
    given = {} if headers is None else orjson.loads(headers)
    return orjson.dumps({**given, OUTCOME_TO: [to.name, to.max_retries]}).decode()


def is_told(headers: str | None) -> bool:
    """Tell whether headers ask for one, at the cost of a look, or of reading what a follow-up carries."""
    return headers is not None and f'"{OUTCOME_TO}":' in headers and telling_in(headers) is not None


def telling_in(headers: str | None) -> Telling | None:
    """Return what headers ask for; None if they do not."""
    if headers is None or f'"{OUTCOME_TO}":' not in headers:
        return None
    found = orjson.loads(headers).get(OUTCOME_TO)
    return None if found is None else Telling(*found)
