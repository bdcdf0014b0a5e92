"""The finder: reads the tasks that the application looks for, as the caller's transaction sees them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Table
from sqlalchemy.orm import Session

from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.look_up import queries
from asyncflow.outbox.look_up.found_task import FoundTask, FoundTasks, KeptResult, found_task, is_result
from asyncflow.outbox.look_up.search import TaskSearch
from asyncflow.outbox.look_up.task_rows import TaskPage, TaskRows
from asyncflow.outbox.look_up.time_rows import TimeRows
from asyncflow.outbox.outcome.results import Results
from asyncflow.outbox.rolling.shelf import Shelf
from asyncflow.outbox.transaction.carrying import require_exact
from asyncflow.outbox.transaction.reading import reading


class Finder:
    """Find tasks; has no state, any thread uses it."""

    def __init__(self, shelf: Shelf, contexts: Table, results: Results) -> None:
        self._shelf, self._contexts = shelf, contexts
        self._rows = TaskRows(shelf, contexts)
        self._results = results

    def find(self, reader: Session | Connection, search: TaskSearch) -> FoundTasks:
        """Read a page; raises CharacterSetError for a key or type that the connection would alter."""
        with reading(reader, self._shelf.tasks) as connection:
            require_exact(connection, (search.key, search.task_type))
            page = self._page(connection, search)
            return FoundTasks(tuple(self._told(connection, page.rows)), search.next(page.next))

    def _page(self, connection: Connection, search: TaskSearch) -> TaskPage:
        if search.wanted_ids is not None:
            states = self._rows.states(connection, search.wanted_ids) if search.wanted_ids else {}
            return TaskPage([states[one] for one in search.wanted_ids if one in states], None)
        chosen, most, cursor = search.chosen, search.most, search.cursor
        if chosen.key is not None:
            return self._rows.page_along_key(connection, chosen, search.span, most, cursor)
        if search.is_along_time:
            return TimeRows(self._shelf, self._rows, chosen, search.span).page(connection, cursor, most)
        return self._rows.page(connection, chosen, most, cursor)

    def _told(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[FoundTask]:
        results = [row.id for row in rows if is_result(row)]
        texts = self._kept(connection, results) if results else {}
        # One that was deleted meanwhile has left nothing.
        there = [row for row in rows if not is_result(row) or row.id in texts]
        return [found_task(row, self._revived(row, texts.get(row.id))) for row in there]

    def _kept(self, connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str | None]:
        raw_ids = [raw_form(task_id, connection.dialect.name) for task_id in ids]
        statement_of = partial(queries.kept_contexts, contexts=self._contexts)
        found = self._shelf.rows(connection, statement_of, {"ids": raw_ids})
        return {row.id: row.context for row in found}

    def _revived(self, row: Row[Any], text: str | None) -> KeptResult:
        if text is None:
            return KeptResult()
        try:
            return KeptResult(self._results.value_of(row.task_type, text))
        except (ValueError, TypeError, ArithmeticError) as error:
            return KeptResult(fault=error)  # of this task alone, to whoever asks for it
