"""Who deletes finished tasks leaves alone what was moved behind its back, with what its handler returned."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from asyncflow import Done, Status
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.look_up.cursor import Cursor
from asyncflow.outbox.tables import OVERFLOWN, RESULT_STAGE
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.operator.by_hand.purge import Purge, Purger
from asyncflow.scheduler.upkeep import queries
from asyncflow.scheduler.upkeep.rolling.mover import Mover
from tests.integration.scheduler.upkeep.rolling.conftest import Roll, Rolled, clean, cleaning, finish
from tests.integration.scheduler.writing import alter, publish_many
from tests.support.application import Application
from tests.support.snippets import ROOT

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


def finish_with_results(application: Rolled, count: int) -> list[Any]:
    """Let tasks be done long ago, and leave results that are too large for their rows."""
    ids, tasks = publish_many(application, count), application.outbox.tasks
    finish(application, ids)
    with application.engine.begin() as connection:
        left = update(tasks).where(tasks.c.id.in_(ids))
        connection.execute(left.values(stage=RESULT_STAGE, context=OVERFLOWN, order_time=timedelta(days=-30)))
        rows = [{"task_id": task_id, "context": f'"{task_id}"'} for task_id in ids]
        connection.execute(insert(application.outbox.contexts), rows)
    return ids


def assert_all_are_found_with_their_results(application: Rolled, ids: list[Any]) -> None:
    outbox = application.outbox
    with application.engine.connect() as connection:
        assert {task.id: task.result for task in outbox.find(connection)} == {one: str(one) for one in ids}
        assert outbox.result(connection, ids[0]) == Done(str(ids[0]))


def test_a_purge_keeps_the_results_of_what_was_moved_behind_its_look(rolled: Rolled, roll: Roll) -> None:
    class Beside(Purger):
        def _pages(self, database: Database, purge: Purge) -> Iterator[tuple[Status, Sequence[Cursor]]]:
            for page in super()._pages(database, purge):
                roll(rolled)
                yield page

    ids = finish_with_results(rolled, 3)
    assert Beside(rolled.engine, rolled.outbox).run(Purge(older_than_seconds=60), actor="ann") == 0
    assert rolled.rows() == []
    assert_all_are_found_with_their_results(rolled, ids)


def test_a_purge_forgets_the_results_of_what_it_deletes_alone(rolled: Rolled, roll: Roll) -> None:
    moved = finish_with_results(rolled, 2)
    roll(rolled)
    finish_with_results(rolled, 3)
    assert Purger(rolled.engine, rolled.outbox).run(Purge(older_than_seconds=60), actor="ann") == 3
    assert {row.task_id for row in rolled.rows(select(rolled.outbox.contexts))} == {*moved}
    assert_all_are_found_with_their_results(rolled, moved)


@on_servers
def test_a_cleaner_that_has_no_roll_over_yet_keeps_the_results_of_what_was_moved_behind_its_look(
    rolled: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cleaning(rolled) as cleaner:
        clean(cleaner)  # makes the tables
    ids = finish_with_results(rolled, 3)
    alter(rolled, "task_type = 'handled'")
    numbered, read = rolled.outbox.numbered_tables, queries.read_expired
    assert numbered is not None
    mover, moved = Mover(rolled.outbox, numbered), list[Any]()

    def read_and_let_move(*given: Any) -> Any:
        found = read(*given)
        if found and not moved:
            with rolled.engine.begin() as connection:
                raw_ids = [raw_form(one, connection.dialect.name) for one in ids]
                moved.append(mover.move(connection, raw_ids, Status.SUCCESS))
        return found

    monkeypatch.setattr(queries, "read_expired", read_and_let_move)
    with cleaning(Application(rolled.engine, has_tables=True), success_retention_seconds=60.0) as cleaner:
        clean(cleaner)
    assert [one.rows for one in moved] == [3]
    assert rolled.rows() == []
    assert_all_are_found_with_their_results(rolled, ids)


def test_the_page_deletes_what_tasks_of_dropped_tables_have_left_and_nothing_else(rolled: Rolled, roll: Roll) -> None:
    finish_with_results(rolled, 3)
    roll(rolled)
    kept = finish_with_results(rolled, 2)
    page = (ROOT / "docs/roll-over.md").read_text("utf-8")
    of_all_others, of_mysql = re.findall(r"DELETE FROM asyncflow_context[^;]*", page)
    statement = text(of_mysql if rolled.engine.dialect.name in ("mysql", "mariadb") else of_all_others)
    with rolled.engine.begin() as connection:
        for table in ("asyncflow_task_1", "asyncflow_task_2", "asyncflow_schedule_pos"):
            connection.execute(text(f"DROP TABLE {table}"))
        assert [connection.execute(statement).rowcount for _ in range(2)] == [3, 0]
    assert {row.task_id for row in rolled.rows(select(rolled.outbox.contexts))} == {*kept}


def test_a_task_whose_result_was_deleted_by_hand_is_done_and_found(rolled: Rolled, roll: Roll) -> None:
    ids = finish_with_results(rolled, 2)
    roll(rolled)
    with rolled.engine.begin() as connection:
        connection.execute(delete(rolled.outbox.contexts))
    with rolled.engine.connect() as connection:
        assert rolled.outbox.result(connection, ids[0]) == Done()
        assert {task.id: task.result for task in rolled.outbox.find(connection)} == dict.fromkeys(ids)
