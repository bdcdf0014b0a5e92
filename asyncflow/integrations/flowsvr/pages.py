"""Pages of tasks, bounded in number and in bytes."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from asyncflow.outbox.look_up.cursor import Cursor
from asyncflow.outbox.look_up.task_rows import Filter, TaskPage
from asyncflow.scheduler.operator.task_view import TaskView

_WHOLE_ROWS, _BRIEF_ROWS = 16, 128  # read at once: of a megabyte each, and of 64 KB of headers and log


class PageBounds(NamedTuple):
    """Bound a page: how many tasks it may hold, and after how many bytes of them no more are read."""

    most: int
    most_bytes: int


def page_of(
    connection: Connection,
    view: TaskView,
    chosen: Filter,
    bounds: PageBounds,
    cursor: Cursor | None,
    *,
    brief: bool = True,
) -> TaskPage:
    """Read tasks behind the cursor, a few at a time, until there are enough of them or of their bytes.

    Also where so few of many rows were chosen that the view gave up for now.
    """
    rows: list[Row[Any]] = []
    size = 0
    while True:
        step = min(_BRIEF_ROWS if brief else _WHOLE_ROWS, bounds.most - len(rows))
        page = view.page(connection, chosen, step, cursor, brief=brief)
        rows += page.rows
        size += sum(map(_size_of, page.rows))
        cursor = page.next
        is_enough = len(rows) >= bounds.most or size >= bounds.most_bytes
        if cursor is None or is_enough or len(page.rows) < step:
            return TaskPage(rows, cursor)


def _size_of(row: Row[Any]) -> int:
    return sum(len(value) for value in row if isinstance(value, (str, bytes)))
