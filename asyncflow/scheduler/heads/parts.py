"""The heads of a status part by part: no look reads more lanes than so many, however many have rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table

from asyncflow.outbox.status import Status
from asyncflow.scheduler.heads.queries import Head, read_heads_behind

MOST_LANES = 1024  # of a look: at all there are, or at one part

RunWithin = Callable[[Callable[[Connection], Any]], Any]  # runs something in a transaction, and returns what it returns


class Part(NamedTuple):
    """Hold the heads of some task types, with all lanes of each, or nearly: those of a look."""

    heads: list[Head]
    is_first: bool
    is_last: bool
    is_whole: bool  # there are no others

    @classmethod
    def of(cls, heads: list[Head], *, is_first: bool, is_last: bool) -> Part:
        """Return the part, whole if it is the first and the last."""
        return cls(heads, is_first, is_last, is_first and is_last)


class HeadParts:
    """Read the heads of a status, a part at each call, then from the beginning again; used by one thread.

    A part is all there are, unless these are too many: then it is what some types have, in the order of the index.
    """

    def __init__(self, run: RunWithin, tasks: Table, status: Status, shard_count: int) -> None:
        self._run = run
        self._tasks = tasks
        self._status = status
        self._shard_count = shard_count  # a type has so many lanes, and all of them are in one part
        self._last_type: str | None = None  # None: the next part is the first one

    @property
    def behind(self) -> str | None:
        """Return the type behind which the next part begins; None: it is the first one."""
        return self._last_type

    def go_on_behind(self, task_type: str | None) -> None:
        """Let the next part begin behind a type, for those before it were read otherwise; None: with the first one."""
        self._last_type = task_type

    def next(self, most_lanes: int = MOST_LANES) -> Part:
        """Read the next part, of so many lanes at most, or of one type; one that raises is read again."""
        behind = self._last_type
        part = self._read(behind, most_lanes)
        self._last_type = None if part.is_last else part.heads[-1].task_type
        return part

    def _read(self, behind: str | None, most_lanes: int) -> Part:
        limit = max(most_lanes, self._shard_count) + 1
        heads = self._run(lambda connection: read_heads_behind(connection, self._tasks, self._status, behind, limit))
        if len(heads) < limit:
            return Part.of(heads, is_first=behind is None, is_last=True)
        cut = heads[-1].task_type
        whole_types = [head for head in heads if head.task_type != cut]
        return Part.of(whole_types or heads, is_first=behind is None, is_last=False)
