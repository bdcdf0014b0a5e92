"""Numbered tables are shown, and dropped when roll-over is left: none while somebody uses it, and all in the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, insert, inspect, select, text

from asyncflow import RollOver, cli
from asyncflow.outbox.tables import OVERFLOWN
from asyncflow.scheduler import Audit
from asyncflow.scheduler.upkeep.rolling import keeper
from tests.integration.scheduler.upkeep.rolling.conftest import Rolled, clean, cleaning, finish
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

ROWS = 100
Ask = Callable[..., Any]


@pytest.fixture
def left(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Application:
    """Give an application that has left roll-over behind, with three numbered tables and a result in the first."""
    for name in ("_PAUSE_SECONDS", "_PATIENCE_SECONDS"):
        monkeypatch.setattr(keeper, name, 0.0)
    rolled = Rolled(engine)
    ids = publish_many(rolled, ROWS)
    finish(rolled)
    with engine.begin() as connection:
        values = {"task_id": ids[0], "context": "1"}
        connection.execute(insert(rolled.outbox.contexts).values(**values))
        tasks = rolled.outbox.tasks
        connection.execute(tasks.update().where(tasks.c.id == ids[0]).values(context=OVERFLOWN))
    with cleaning(rolled) as cleaner:
        for _ in range(8):
            clean(cleaner)
        publish_many(rolled, 5)
        finish(rolled)
        clean(cleaner)
    return Application(engine, has_tables=True)


@pytest.fixture
def ask(left: Application, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Give what runs ``asyncflow roll-over``, and returns its code and what it told."""

    def ask(*words: str) -> tuple[int, str]:
        url = left.engine.url.render_as_string(hide_password=False)
        code = cli.main(["roll-over", *words, "--database-url", url])
        told = capsys.readouterr()
        return code, told.out + told.err

    return ask


def names(engine: Engine) -> set[str]:
    return {name for name in inspect(engine).get_table_names() if name.startswith("asyncflow_task_")}


def test_each_table_is_shown_and_all_are_gone_when_they_are_dropped(left: Application, ask: Ask) -> None:
    code, told = ask("show", "--json")
    shown = {one["table"]: (one["state"], one["rows"], one["is_there"]) for one in orjson.loads(told)}
    assert [shown["asyncflow_task_1"], shown["asyncflow_task_3"]] == [("closed", ROWS, True), ("ahead", 0, True)]
    assert "asyncflow_task_2" in ask("show")[1]
    assert ask("drop")[0] == 2
    assert len(names(left.engine)) == 3
    code, told = ask("drop", "--yes", "--actor", "ann", "--reason", "so")
    assert (code, told.splitlines()[-1]) == (0, "3 dropped, 0 left")
    assert names(left.engine) == set()
    assert not inspect(left.engine).has_table("asyncflow_schedule_pos")
    assert left.rows(select(left.outbox.contexts)) == []
    (entry,) = Audit(left.engine, left.outbox).entries()
    assert (entry.actor, entry.reason, entry.action, entry.detail) == (
        "ann",
        "so",
        "roll-over drop",
        "3 numbered tables",
    )
    assert ask("drop", "--yes") == (0, "0 dropped, 0 left\n")
    assert orjson.loads(ask("show", "--json")[1]) == []


def test_nothing_is_dropped_while_an_instance_rolls_over(left: Application, ask: Ask) -> None:
    still = Application(left.engine, has_tables=True, roll_over=RollOver(keep=timedelta(days=1)))
    scheduler = still.scheduler()
    scheduler.start()
    eventually(lambda: "still run with roll_over" in ask("drop", "--yes")[1], timeout_seconds=60)
    assert len(names(left.engine)) == 3
    scheduler.stop(timeout_seconds=60)
    assert ask("drop", "--yes")[0] == 0


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_table_that_somebody_reads_is_left_for_another_call(left: Application, ask: Ask) -> None:
    with left.engine.connect() as reader:
        reader.execute(text("SELECT id FROM asyncflow_task_2")).all()
        code, told = ask("drop", "--yes")
        assert (code, told.splitlines()[-1]) == (1, "2 dropped, 1 left")
        assert "asyncflow_task_2  left as it is: its lock was not to be had" in told
        assert names(left.engine) == {"asyncflow_task_2"}
        reader.rollback()
    assert ask("drop", "--yes")[0] == 0


def test_a_table_with_a_task_that_is_not_over_is_left_and_the_task_named(left: Application, ask: Ask) -> None:
    with left.engine.begin() as connection:
        connection.execute(text("UPDATE asyncflow_task_2 SET status = 0"))
    code, told = ask("drop", "--yes")
    assert code == 1
    assert "asyncflow_task_2  left as it is: the task " in told
    assert "has the status 0: insert the row into asyncflow_task again" in told
    assert inspect(left.engine).has_table("asyncflow_schedule_pos")
