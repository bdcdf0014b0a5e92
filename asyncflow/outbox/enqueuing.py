"""An enqueue that is under way, as a hook sees it that stands around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from asyncflow.outbox.declarations.cloud_events import SPARE_BYTES
from asyncflow.outbox.declarations.outbox_hooks import Factory, StandingAround
from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.dedupe import Enqueued
from asyncflow.outbox.message import MAX_HEADERS_BYTES, Door, size_of
from asyncflow.outbox.task import FOLLOW_UP, OUTCOME_TO, headers_of

Add = Callable[[], list[Enqueued]]  # writes the tasks
_MOST_TEXT_BYTES = 60 * 1024  # of headers and follow-ups together: MySQL's TEXT has 64 KiB


class UnwrittenTask:
    """Tell of a task that is about to be written, on the thread that enqueues; until then headers may be added."""

    def __init__(self, row: dict[str, Any], door: Door) -> None:
        self._row = row
        self._door = door

    @property
    def id(self) -> UUID:
        """Return the task's id."""
        task_id: UUID = self._row["id"]
        return task_id

    @property
    def key(self) -> str | None:
        """Return the task's key."""
        key: str | None = self._row["task_key"]
        return key

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers as they would be written now."""
        return headers_of(self._row["headers"])

    @property
    def leads_on(self) -> bool:
        """Tell whether it carries a task that follows it, or the wish for a message about its outcome."""
        text: str | None = self._row["headers"]
        return text is not None and (FOLLOW_UP in text or OUTCOME_TO in text)

    def carry(self, headers: Mapping[str, str]) -> None:
        """Add headers in ASCII, which the tasks that follow this one carry as well.

        One that the caller has given stays as it is, and one is left out for which there is no room: what a hook adds
        must never keep a task from being written, or from being taken by its broker.
        """
        for name, value in headers.items():
            if name.isascii() and value.isascii():
                text = _with_header(self._row["headers"], name, value)
                if self._has_room_for(text):
                    self._row["headers"] = text

    def _has_room_for(self, text: str) -> bool:
        most = min(self._door.max_message_bytes + SPARE_BYTES, 2**31 - 1)
        if FOLLOW_UP in text:
            return len(text.encode()) <= _MOST_TEXT_BYTES
        size = size_of(self._row["payload"], self.key, text)
        return size <= most and len(text.encode()) <= MAX_HEADERS_BYTES + SPARE_BYTES


@dataclass(slots=True, eq=False)
class Enqueuing:
    """Tell of tasks of one type that are about to be written into the caller's transaction.

    ``enqueued`` is there at the end: one whose idempotency key was used before is not new, and was not written.
    """

    task_type: TaskType
    tasks: Sequence[UnwrittenTask]
    enqueued: Sequence[Enqueued] = ()

    @classmethod
    def of(cls, task_type: TaskType, rows: Iterable[dict[str, Any]], door: Door) -> Enqueuing:
        """Return the enqueue of rows, which may get further headers."""
        return cls(task_type, [UnwrittenTask(row, door) for row in rows])


def add_within(factories: Iterable[Factory], enqueuing: Enqueuing, add: Add) -> list[Enqueued]:
    """Write within what stands around enqueues; raises what ``add`` raises."""
    with StandingAround(factories, enqueuing):
        enqueuing.enqueued = enqueued = add()
    return enqueued


def _with_header(text: str | None, name: str, value: str) -> str:
    return orjson.dumps(_added({} if text is None else orjson.loads(text), name, value)).decode()


def _added(headers: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    if name.lower() not in map(str.lower, headers):
        headers = {**headers, name: value}
    if FOLLOW_UP in headers:
        follow_up = headers[FOLLOW_UP]
        headers[FOLLOW_UP] = {**follow_up, "headers": _added(follow_up["headers"] or {}, name, value)}
    return headers
