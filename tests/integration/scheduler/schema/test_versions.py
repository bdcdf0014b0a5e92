"""Who runs is known by the version of its tables: an upgrade breaks nobody, and nobody starts beside whom it cannot."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, insert, update

from asyncflow.errors import IncompatibleVersionError
from asyncflow.outbox import Outbox
from asyncflow.outbox.tables import schema_version
from asyncflow.scheduler import start_check
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.schema.difference import DifferenceKind
from asyncflow.scheduler.telling import versions_beside
from asyncflow.scheduler.telling.instance_state import InstanceState
from tests.integration.conftest import Schedule
from tests.integration.scheduler.schema.test_damages import run
from tests.integration.scheduler.schema.test_upgrade import DROP_PRIORITY, DROP_STAGE, Capsys, kinds, upgraded
from tests.support.application import Application

MISSING = DifferenceKind.COLUMN_MISSING


def there_runs(application: Application, name: str = "web-1", **told: Any) -> None:
    """Let an instance be recorded whose lease runs for long, and which tells this of itself."""
    state = InstanceState(version="0.0.9", **told).as_text()
    values: dict[str, Any] = {"job": "outbox", "instance": name, "leaving": False, "state": state}
    values |= {"joined_at": timedelta(0), "lease_until": timedelta(hours=1)}
    with application.engine.begin() as connection:
        connection.execute(insert(application.outbox.instances), values)


def it_dies(application: Application) -> None:
    instances = application.outbox.instances
    with application.engine.begin() as connection:
        connection.execute(update(instances).values(lease_until=timedelta(hours=-1)))


def add_column(engine: Engine, definition: str) -> None:
    run(engine, [f"ALTER TABLE asyncflow_task ADD COLUMN {definition}"])


def test_an_instance_tells_the_version_of_its_tables(application: Application, schedule: Schedule) -> None:
    schedule().ownership.acquire()
    (found,) = Instances(application.engine, application.outbox).all()
    assert found.state is not None
    assert (found.state.schema_version, found.state.oldest_beside) == (
        schema_version.SCHEMA_VERSION,
        schema_version.OLDEST_BESIDE,
    )


def test_what_an_older_instance_that_runs_could_not_live_with_waits_until_it_is_gone(
    application: Application, capsys: Capsys
) -> None:
    engine = application.engine
    there_runs(application)
    run(engine, [DROP_PRIORITY])
    assert upgraded(engine) == 1
    assert kinds(engine) == [MISSING]
    told = capsys.readouterr().out
    assert "not while instances or writers of an older version run" in told
    assert "instances of an older version run, web-1 (0.0.9, tables of a version that it does not tell)" in told
    assert "stop them first" in told
    it_dies(application)
    assert upgraded(engine) == 0
    assert kinds(engine) == []


def test_what_an_older_instance_can_live_with_is_run_beside_it(application: Application) -> None:
    there_runs(application)
    run(application.engine, [DROP_STAGE])
    assert upgraded(application.engine) == 0
    assert kinds(application.engine) == []


def test_an_instance_of_this_version_holds_up_nothing(application: Application) -> None:
    there_runs(application, schema_version=schema_version.SCHEMA_VERSION)
    run(application.engine, [DROP_PRIORITY])
    assert upgraded(application.engine) == 0


def test_an_older_version_mends_nothing_beside_instances_of_a_later_one(
    application: Application, capsys: Capsys
) -> None:
    there_runs(application, schema_version=99)
    run(application.engine, [DROP_STAGE])
    assert upgraded(application.engine) == 1
    assert "later version run, web-1 (0.0.9, tables of version 99)" in capsys.readouterr().out
    assert kinds(application.engine) == [MISSING]


def test_where_it_cannot_be_read_who_runs_a_person_says_that_nobody_does(
    sqlite_application: Application, capsys: Capsys
) -> None:
    engine = sqlite_application.engine
    run(engine, ["ALTER TABLE asyncflow_instance DROP COLUMN leaving", DROP_PRIORITY])
    assert upgraded(engine) == 1
    assert "who runs cannot be read (no such column" in capsys.readouterr().out
    assert upgraded(engine, "--all-stopped") == 0


def test_a_start_beside_instances_that_are_too_old_is_refused_by_name(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_version, "SCHEMA_VERSION", 7)
    monkeypatch.setattr(schema_version, "OLDEST_BESIDE", 6)
    there_runs(application, "old", schema_version=5)
    there_runs(application, "even", schema_version=6)
    with pytest.raises(IncompatibleVersionError, match=r"older ones run: old \(0\.0\.9, tables of version 5\)\. Stop"):
        schedule().start()
    it_dies(application)
    schedule().start()


def test_a_start_beside_instances_that_are_too_new_is_refused_by_name(
    sqlite_application: Application, made: list[Any]
) -> None:
    there_runs(sqlite_application, "new", schema_version=9, oldest_beside=schema_version.SCHEMA_VERSION + 1)
    made.append(sqlite_application.scheduler())
    with pytest.raises(IncompatibleVersionError, match=r"work beside later ones alone: new \(0\.0\.9, tables of"):
        made[0].start()
    with pytest.raises(IncompatibleVersionError):
        made[0].drain()


def looked_in_the_same_moment(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Let the look before a start find nobody, and this happen behind it."""

    def require(engine: Engine, outbox: Outbox) -> None:
        versions_beside.require_versions(engine, outbox)
        then()

    monkeypatch.setattr(start_check, "require_versions", require)


def test_of_two_that_start_in_the_same_moment_the_younger_gives_way(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_version, "OLDEST_BESIDE", schema_version.SCHEMA_VERSION + 1)  # each is alone, or nobody
    monkeypatch.setattr(versions_beside, "_PATIENCE_SECONDS", 90.0)
    looked_in_the_same_moment(monkeypatch, Barrier(2, timeout=90).wait)
    two = [schedule(), schedule()]
    with ThreadPoolExecutor(2) as threads:
        errors = [future.exception() for future in [threads.submit(one.start) for one in two]]
    assert sorted(type(error).__name__ for error in errors) == ["IncompatibleVersionError", "NoneType"]
    (left,) = Instances(application.engine, application.outbox).all()
    assert left.name == two[errors.index(None)].ownership.owner


def test_who_started_before_gives_way_to_one_that_does_not(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_version, "OLDEST_BESIDE", schema_version.SCHEMA_VERSION + 1)
    monkeypatch.setattr(versions_beside, "_PATIENCE_SECONDS", 0.3)
    looked_in_the_same_moment(monkeypatch, lambda: there_runs(application, "later", started=9e9))
    with pytest.raises(IncompatibleVersionError, match="older ones run: later"):
        schedule().start()
    assert [one.name for one in Instances(application.engine, application.outbox).all()] == ["later"]


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_start_on_tables_of_a_later_version_names_the_column_that_it_could_not_fill(
    application: Application, schedule: Schedule
) -> None:
    add_column(application.engine, "tenant INTEGER NULL")
    add_column(application.engine, "area INTEGER NOT NULL DEFAULT 0")
    schedule().start()
    add_column(application.engine, "region INTEGER NOT NULL")
    with pytest.raises(IncompatibleVersionError, match=r"asyncflow_task region must have a value"):
        schedule().start()
