"""Which tasks a person means, and a walk over them in pages that neither repeat nor skip one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from asyncflow.errors import InvalidKeyError, InvalidTaskTypeError, OptionError
from asyncflow.outbox.options import require_whole
from asyncflow.outbox.tables import KEY_LENGTH, TASK_TYPE_LENGTH
from asyncflow.text import require_text, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Name tasks by their ids, or by type and key, or ``everything``; at most ``limit`` of them are changed.

    Raises OptionError, InvalidTaskTypeError or InvalidKeyError.
    """

    ids: Iterable[UUID | str] | None = None  # of tasks; excludes all but limit
    task_type: str | None = None  # all tasks of this type
    key: str | None = None  # all tasks with this key, of the type if it is given
    everything: bool = False  # all tasks of all types
    limit: int | None = None  # of tasks that are changed; None: no limit

    def __post_init__(self) -> None:
        if self.ids is not None:
            object.__setattr__(self, "ids", _ids(self.ids))
        if self.task_type is not None:
            require_text("task_type", self.task_type, TASK_TYPE_LENGTH, InvalidTaskTypeError)
        if self.key is not None:
            require_text("key", self.key, KEY_LENGTH, InvalidKeyError)
        if self.limit is not None:
            require_whole("limit", self.limit, 1, 2**31 - 1)
        given = (self.ids is not None, self.task_type is not None or self.key is not None, bool(self.everything))
        if sum(given) != 1:
            told = "more than one of them" if any(given) else "none of them"
            raise OptionError(
                f"ids, task_type or key, and everything: {told} is given; give ids, a filter, or everything"
            )

    @property
    def wanted_ids(self) -> tuple[UUID, ...] | None:
        """Return the ids, each once, if tasks are named by them."""
        return cast("tuple[UUID, ...] | None", self.ids)  # of what was given, since it was checked


def _ids(given: Iterable[UUID | str]) -> tuple[UUID, ...]:
    if isinstance(given, (str, UUID)) or not isinstance(given, Iterable):
        raise OptionError(f"ids is {shown(given)}; give a list of task ids")
    return tuple(dict.fromkeys(map(task_id_of, given)))


def task_id_of(given: Any) -> UUID:
    """Return the UUID of a task id or its text; raises OptionError."""
    try:
        return given if isinstance(given, UUID) else UUID(given)
    except (ValueError, TypeError, AttributeError):
        raise OptionError(f"the task id is {shown(given)}; give a UUID, such as enqueue() returned") from None
