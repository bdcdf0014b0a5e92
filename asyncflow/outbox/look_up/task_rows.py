"""Rows of tasks, filtered by type, status and key, in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, Table

from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.look_up import queries
from asyncflow.outbox.look_up.cursor import Cursor
from asyncflow.outbox.look_up.key_rows import EVER, KeyRows, TimeSpan
from asyncflow.outbox.rolling.shelf import Shelf, StatementOf
from asyncflow.outbox.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Choose tasks; None chooses all."""

    task_type: str | None = None
    status: Status | None = None
    key: str | None = None

    def takes(self, row: Any) -> bool:
        """Tell whether a row of the key, if there is one, is chosen."""
        return self.task_type in (None, row.task_type) and self.status in (None, row.status)


class TaskPage(NamedTuple):
    """Hold some rows, and where the next page begins; None behind the last one."""

    rows: Sequence[Row[Any]]
    next: Cursor | None


class TaskRows:
    """Read tasks in the transaction of the connection given; has no state, any thread uses it."""

    def __init__(self, shelf: Shelf, contexts: Table) -> None:
        self._shelf = shelf
        self._contexts = contexts

    def states(self, connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
        """Read several tasks without payload and context, by id."""
        raw_ids = [raw_form(task_id, connection.dialect.name) for task_id in ids]
        return {row.id: row for row in self._shelf.rows(connection, queries.states, {"ids": raw_ids})}

    def page(
        self, connection: Connection, chosen: Filter, most: int, cursor: Cursor | None, *, brief: bool = True
    ) -> TaskPage:
        """Read up to ``most`` tasks behind the cursor.

        Of a key with many tasks that are not chosen a page may have fewer, or none, and yet a next one. ``brief``
        leaves payloads and contexts out. A task that is enqueued or settled between two pages may be in
        none or in both; any other is in exactly one.
        """
        contexts = None if brief else self._contexts
        if chosen.key is not None:
            return self._page_of_key(connection, chosen, most, cursor, contexts)
        found: list[Row[Any]] = []
        for statement_of, values in self._statements(chosen, cursor, contexts):
            limited = {**values, "most": most + 1 - len(found)}
            found += self._shelf.rows(connection, statement_of, limited, queries.WALK)
            if len(found) > most:
                break
        rows = found[:most]
        return TaskPage(rows, Cursor.along_index(rows[-1]) if len(found) > most else None)

    def page_along_key(
        self, connection: Connection, chosen: Filter, span: TimeSpan, most: int, cursor: Cursor | None
    ) -> TaskPage:
        """Read up to ``most`` tasks of the chosen key that were enqueued in a stretch of time, brief ones."""
        page = KeyRows(self._shelf, chosen.key or "", chosen.takes, span).page(connection, cursor, most)
        states = self.states(connection, [row.id for row in page.rows]) if page.rows else {}
        return TaskPage([states[row.id] for row in page.rows if row.id in states], page.last)

    def _page_of_key(
        self, connection: Connection, chosen: Filter, most: int, cursor: Cursor | None, contexts: Table | None
    ) -> TaskPage:
        page = KeyRows(self._shelf, chosen.key or "", chosen.takes, EVER).page(connection, cursor, most)
        ids = [raw_form(row.id, connection.dialect.name) for row in page.rows]
        statement_of = partial(queries.enqueued_in_order, contexts=contexts)
        rows = self._shelf.rows(connection, statement_of, {"ids": ids}, ("created_at", "id")) if ids else []
        return TaskPage(rows, page.last)

    def _statements(
        self, chosen: Filter, cursor: Cursor | None, contexts: Table | None
    ) -> Iterator[tuple[StatementOf, Mapping[str, Any]]]:
        listed = partial(queries.of_status, contexts=contexts)
        for status in [chosen.status] if chosen.status is not None else list(Status):
            if cursor is None or status >= cursor.status:
                behind = cursor if cursor is not None and status == cursor.status else None
                yield from along_index(listed, status, chosen.task_type, behind)


def along_index(
    statement_of: Callable[..., Any], status: Status, task_type: str | None, behind: Cursor | None
) -> Iterator[tuple[StatementOf, dict[str, Any]]]:
    """Yield what makes the statements that read on behind a row, or from the first, of a table.

    Each is given as many as are wanted still.
    """
    is_fixed = task_type is not None
    values = {"its_status": int(status), **({"its_type": task_type} if is_fixed else {})}
    if behind is None:
        yield partial(statement_of, of_type=is_fixed, behind=None), values
        return
    at = dict(zip(queries.WALK, behind[1:], strict=True))
    for depth in range(len(queries.WALK) - 1, 0 if is_fixed else -1, -1):
        used = {f"at_{name}": at[name] for name in queries.WALK[: depth + 1]}
        yield partial(statement_of, of_type=is_fixed, behind=depth), {**values, **used}
