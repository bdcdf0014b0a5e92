"""A walk over tasks in pages that neither repeat nor skip one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import orjson
from sqlalchemy import Connection

from asyncflow.errors import OptionError
from asyncflow.outbox import Outbox
from asyncflow.outbox.status import Status
from asyncflow.scheduler.heads.queries import Lane, read_heads, read_heads_of
from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.key_rows import KeyPlace, KeyRows
from asyncflow.scheduler.operator.selection import Selection
from asyncflow.scheduler.operator.task_view import Filter
from asyncflow.text import shown

_OF_NO_LANE = ("", -1)  # where a walk along the index of keys finds a row


class RowPlace(NamedTuple):
    """Name a row by where a walk finds it: its lane, then its time and id."""

    task_type: str
    shard: int
    time: datetime
    id: UUID

    def as_cursor(self) -> str:
        """Return a text for outside, from which ``place_of`` makes the place again."""
        return base64.urlsafe_b64encode(orjson.dumps([self.task_type, self.shard, self.time, self.id])).decode()


def place_of(cursor: str) -> RowPlace:
    """Return the place of a cursor; raises OptionError for one that was made elsewhere."""
    try:
        task_type, shard, time, task_id = orjson.loads(base64.urlsafe_b64decode(cursor))
        if not isinstance(task_type, str) or not isinstance(shard, int):
            raise ValueError
        moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
        if moment.tzinfo is None or "\0" in task_type or not _OF_NO_LANE[1] <= shard < 2**15:
            raise ValueError
        return RowPlace(task_type, shard, moment.astimezone(timezone.utc), UUID(task_id))
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error):
        raise OptionError(f"after is {shown(cursor)}; give what the page before had as next") from None


class Walk(Protocol):
    """Read the places of rows in one order, page by page, none that came after the walk began."""

    def page(self, connection: Connection, after: RowPlace | None, limit: int) -> list[RowPlace]:
        """Return up to ``limit`` places behind ``after``; none at the end."""
        ...


def walk_of(selection: Selection, outbox: Outbox, status: Status, until: datetime) -> Walk:
    """Return the walk over the selected rows of a status; ``until`` is when it begins, by the database's clock."""
    if selection.key is not None:
        return _KeyWalk(outbox, status, until, selection.key, selection.task_type)
    return _LaneWalk(outbox, status, until, selection.task_type)


class _LaneWalk:
    """Walk along the one index: from lane to lane, in each by order_time and id."""

    def __init__(self, outbox: Outbox, status: Status, until: datetime, task_type: str | None) -> None:
        self._outbox = outbox
        self._status = status
        self._until = until
        self._task_type = task_type
        self._lanes: Sequence[Lane] | None = None

    def page(self, connection: Connection, after: RowPlace | None, limit: int) -> list[RowPlace]:
        if self._lanes is None:
            self._lanes = self._read_lanes(connection)
        found: list[RowPlace] = []
        for lane in self._lanes:
            if after is None or lane >= after[:2]:
                inside = after if after is not None and lane == after[:2] else None
                found += self._read(connection, lane, inside, limit - len(found))
                if len(found) == limit:
                    break
        return found

    def _read_lanes(self, connection: Connection) -> Sequence[Lane]:
        tasks = self._outbox.tasks
        if self._task_type is None:
            heads = read_heads(connection, tasks, self._status)
        else:
            heads = read_heads_of(connection, tasks, self._status, self._task_type)
        return sorted(head[:2] for head in heads)

    def _read(self, connection: Connection, lane: Lane, after: RowPlace | None, limit: int) -> list[RowPlace]:
        # What fails again while it is walked over has failed later than the walk began. What waits may be due later.
        by_enqueue = self._status is Status.PENDING
        statement = queries.lane_page(self._outbox.tasks, int(self._status), after is not None, by_enqueue)
        values = {"its_type": lane[0], "its_shard": lane[1], "until": self._until, "limit": limit}
        if after is not None:
            values |= {"after_time": after.time, "after_id": after.id}
        return [RowPlace(*lane, row.time, row.id) for row in connection.execute(statement, values)]


class _KeyWalk:
    """Walk along the index of keys, in the order of enqueueing."""

    def __init__(self, outbox: Outbox, status: Status, until: datetime, key: str, task_type: str | None) -> None:
        chosen = Filter(task_type=task_type, status=status)
        self._until = until
        self._rows = KeyRows(outbox.tasks, key, lambda row: chosen.takes(row) and self._was_there(row))

    def page(self, connection: Connection, after: RowPlace | None, limit: int) -> list[RowPlace]:
        place = None if after is None else KeyPlace(after.time, after.id)
        return list(map(_place_of_key, self._rows.all_the_way(connection, place, limit)))

    def _was_there(self, row: Any) -> bool:
        is_settled = row.status != Status.PENDING
        return row.created_at <= self._until and not (is_settled and row.order_time > self._until)


def _place_of_key(row: Any) -> RowPlace:
    return RowPlace(*_OF_NO_LANE, row.created_at, row.id)
