"""What an upgrade leaves: an entry of the audit for each operation, and, when it is killed, what the next one ends."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import Engine

from asyncflow.scheduler.operator.audit import Audit
from tests.integration.scheduler.schema.test_damages import run
from tests.integration.scheduler.schema.test_upgrade import (
    DROP_INDEX,
    DROP_STAGE,
    Capsys,
    kinds,
    rows,
    upgraded,
)
from tests.support.application import Application
from tests.support.databases import everywhere

pytestmark = everywhere

BY_ANN = ("--actor", "ann", "--reason", "version 2")
WAIT_SECONDS = 120.0


def told(application: Application) -> list[tuple[str, str, str | None, str | None]]:
    entries = Audit(application.engine, application.outbox).entries()
    return sorted((one.actor, one.action, one.task_key, one.reason) for one in entries)


def test_the_audit_tells_who_ran_which_operation_and_why(application: Application) -> None:
    run(application.engine, [DROP_INDEX[application.engine.dialect.name], "DROP TABLE asyncflow_turn"])
    assert upgraded(application.engine, "--dry-run", *BY_ANN) == 0
    assert told(application) == []
    assert upgraded(application.engine, *BY_ANN) == 0
    assert told(application) == [
        ("ann", "schema upgrade", "asyncflow_task", "version 2"),
        ("ann", "schema upgrade", "asyncflow_turn", "version 2"),
    ]
    (entry, _) = sorted(Audit(application.engine, application.outbox).entries(), key=lambda one: one.task_key or "")
    assert entry.detail is not None
    assert "ix_asyncflow_task_key" in entry.detail


def test_an_audit_that_was_missing_tells_of_what_was_run_before_it(application: Application) -> None:
    """The operations on the audit's table come where they come: what was run before them is told once they are."""
    run(application.engine, ["DROP TABLE asyncflow_audit", "DROP TABLE asyncflow_turn", "DROP TABLE asyncflow_chart"])
    assert upgraded(application.engine, *BY_ANN) == 0
    assert [key for _, _, key, _ in told(application)] == ["asyncflow_audit", "asyncflow_chart", "asyncflow_turn"]


def test_an_audit_that_takes_nothing_is_complained_of_and_the_upgrade_is_whole(
    application: Application, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncflow.scheduler.operator.audit.REASON_LENGTH", 10_000)
    run(application.engine, ["DROP TABLE asyncflow_turn"])
    if application.engine.dialect.name == "sqlite":
        run(
            application.engine,
            [
                "CREATE TRIGGER shut BEFORE INSERT ON asyncflow_audit "
                "BEGIN SELECT RAISE(ABORT, 'nobody writes here'); END"
            ],
        )
        reason = "nobody writes here"
    else:
        reason = "x" * 5_000  # longer than the column
    assert upgraded(application.engine, "--actor", "ann", "--reason", reason) == 0
    assert "the audit does not tell of 1 operation: " in capsys.readouterr().err
    assert kinds(application.engine) == []


def killed_after(engine: Engine, lines: int) -> None:
    """Begin an upgrade, and kill it when it has printed so many lines."""
    command = [sys.executable, "-m", "asyncflow.cli", "schema", "upgrade"]
    url = ["--database-url", engine.url.render_as_string(False)]
    with subprocess.Popen(
        [*command, *url], cwd=Path.cwd(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for _ in islice(process.stdout, lines):
            pass
        process.kill()
        process.wait(WAIT_SECONDS)


def test_an_upgrade_that_was_killed_anywhere_is_ended_by_the_next_and_loses_no_row(application: Application) -> None:
    engine = application.engine
    with application.session() as session, session.begin():
        for _ in range(20):
            application.outbox.publish(session, "user.registered", {})
    damages = ["DROP TABLE asyncflow_turn", DROP_INDEX[engine.dialect.name], DROP_STAGE, "DROP TABLE asyncflow_chart"]
    run(engine, damages)
    for lines in (1, 3, 5, 8):
        killed_after(engine, lines)
        assert rows(engine, "asyncflow_task") == 20
    assert upgraded(engine) == 0
    assert kinds(engine) == []
    assert rows(engine, "asyncflow_task") == 20
