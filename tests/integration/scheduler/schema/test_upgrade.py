"""An upgrade runs what is safe, tells by name what is not, and lets no writer wait for it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, insert

from asyncflow import Inbox, Outbox, cli
from asyncflow.scheduler.schema import plan, upgrade
from asyncflow.scheduler.schema.check import check
from asyncflow.scheduler.schema.difference import DifferenceKind, SchemaOperation
from asyncflow.scheduler.schema.upgrade import Upgrade
from tests.integration.scheduler.schema.test_damages import run
from tests.support.application import Application

Capsys = pytest.CaptureFixture[str]
DROP_PRIORITY = "ALTER TABLE asyncflow_task DROP COLUMN priority"
DROP_RETRIES = "ALTER TABLE asyncflow_task DROP COLUMN max_retries"
DROP_STAGE = "ALTER TABLE asyncflow_task DROP COLUMN stage"
DROP_INDEX = {
    "mysql": "DROP INDEX ix_asyncflow_task_key ON asyncflow_task",
    "postgresql": "DROP INDEX ix_asyncflow_task_key",
    "sqlite": "DROP INDEX ix_asyncflow_task_key",
}
AS_BYTES = {
    "mysql": ["ALTER TABLE asyncflow_periodic MODIFY cron LONGBLOB NOT NULL"],
    "postgresql": ["ALTER TABLE asyncflow_periodic ALTER COLUMN cron TYPE bytea USING cron::bytea"],
}
LOSES_NOT_NULL = {
    "mysql": ["ALTER TABLE asyncflow_audit MODIFY actor VARCHAR(120) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL"],
    "postgresql": ["ALTER TABLE asyncflow_audit ALTER COLUMN actor DROP NOT NULL"],
}


def upgraded(engine: Engine, *options: str) -> int:
    return cli.main(["schema", "upgrade", "--database-url", engine.url.render_as_string(False), *options])


def kinds(engine: Engine) -> list[DifferenceKind]:
    return [one.kind for one in check(engine, Outbox(MetaData())).differences]


def rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one())


def test_what_is_safe_is_run_and_what_could_lose_data_is_named(application: Application, capsys: Capsys) -> None:
    engine = application.engine
    with application.session() as session, session.begin():
        application.outbox.publish(session, "user.registered", {})
    run(engine, [DROP_RETRIES, DROP_INDEX[engine.dialect.name], "DROP TABLE asyncflow_turn"])
    lost = [DifferenceKind.COLUMN_MISSING, DifferenceKind.INDEX_MISSING, DifferenceKind.TABLE_MISSING]
    assert upgraded(engine, "--dry-run") == 1
    assert kinds(engine) == lost
    assert upgraded(engine) == 1
    told = capsys.readouterr().out
    assert "left as it is: rows are there, and nobody knows what max_retries would be in them" in told
    # Of a table that is made anew, an index comes with it: both or none.
    left = lost[:2] if engine.dialect.name == "sqlite" else lost[:1]
    assert kinds(engine) == left
    assert rows(engine, "asyncflow_task") == 1
    run(engine, ["DELETE FROM asyncflow_task"])
    assert upgraded(engine) == 0
    assert kinds(engine) == []


def test_a_column_that_rows_have_a_value_for_is_added_with_it(application: Application) -> None:
    engine = application.engine
    with application.session() as session, session.begin():
        application.outbox.publish(session, "user.registered", {})
    run(engine, [DROP_PRIORITY])
    assert upgraded(engine) == 0
    assert kinds(engine) == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT priority FROM asyncflow_task").scalars().all() == [0]


def test_null_and_values_of_another_type_are_left_to_a_person(application: Application, capsys: Capsys) -> None:
    engine = application.engine
    if engine.dialect.name == "sqlite":
        pytest.skip("its tables are made anew: test_a_rebuilt_table_is_refused_with_null_in_it")
    run(engine, [*LOSES_NOT_NULL[engine.dialect.name], *AS_BYTES[engine.dialect.name]])
    outbox, now = application.outbox, timedelta(0)
    periodic = {"name": "a", "cron": b"* * * * *", "timezone": "UTC"}
    audit = {"id": uuid.uuid4(), "task_id": uuid.uuid4(), "at": now, "action": "x", "task_type": "t", "actor": None}
    with engine.begin() as connection:
        connection.execute(insert(outbox.audit_entries), audit)
        columns = ", ".join(periodic)
        connection.exec_driver_sql(
            f"INSERT INTO asyncflow_periodic ({columns}, next_due, modified_at) "
            f"VALUES (%s, %s, %s, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)",
            tuple(periodic.values()),
        )
    assert upgraded(engine) == 1
    told = capsys.readouterr().out
    assert "rows have NULL in actor: give them a value, or delete them, and run it again" in told
    assert "their values of cron would become other ones" in told
    assert sorted(kinds(engine)) == [DifferenceKind.LOST_NOT_NULL, DifferenceKind.TYPE]
    run(engine, ["DELETE FROM asyncflow_audit", "DELETE FROM asyncflow_periodic"])
    assert upgraded(engine) == 0
    assert kinds(engine) == []


def test_a_rebuilt_table_is_refused_with_null_in_it(sqlite_engine: Engine, capsys: Capsys) -> None:
    Outbox(MetaData()).tasks.metadata.create_all(sqlite_engine)
    run(
        sqlite_engine,
        [
            "DROP TABLE asyncflow_context",
            "CREATE TABLE asyncflow_context (task_id BLOB NOT NULL, context TEXT, PRIMARY KEY (task_id))",
            "INSERT INTO asyncflow_context VALUES (x'00', NULL)",
        ],
    )
    for _ in range(2):
        assert kinds(sqlite_engine)[-1] in (DifferenceKind.LOST_NOT_NULL, DifferenceKind.TABLE_MISSING)
        assert upgraded(sqlite_engine) == 1
    assert "rows have NULL in context" in capsys.readouterr().out
    run(sqlite_engine, ["UPDATE asyncflow_context SET context = 'x'"])
    assert upgraded(sqlite_engine) == 0
    assert rows(sqlite_engine, "asyncflow_context") == 1


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "_ATTEMPTS", 1)
    monkeypatch.setattr(upgrade, "_PAUSE_SECONDS", 0.01)


@pytest.mark.usefixtures("impatient")
def test_who_has_the_table_open_is_not_waited_for_and_others_go_on(application: Application, capsys: Capsys) -> None:
    """While a business transaction is open nobody who writes is held up beyond the second that a lock is asked for."""
    engine, outbox = application.engine, application.outbox
    run(engine, [DROP_STAGE])
    with application.session() as session, session.begin():
        outbox.publish(session, "user.registered", {})
        session.flush()
        assert upgraded(engine) == 1
        assert "a transaction is open that uses the table; try again" in capsys.readouterr().out
        if engine.dialect.name != "sqlite":  # which has one writer anyway
            with application.session() as other, other.begin():
                outbox.publish(other, "user.registered", {})
    assert upgraded(engine) == 0
    assert kinds(engine) == []
    assert rows(engine, "asyncflow_task") == (1 if engine.dialect.name == "sqlite" else 2)


def test_what_keeps_writers_of_a_large_table_waiting_is_for_a_quiet_time(
    application: Application, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = application.engine
    monkeypatch.setattr(plan, "LARGE", 1)
    monkeypatch.setattr("asyncflow.scheduler.schema.check.LARGE", 1)
    with application.session() as session, session.begin():
        for _ in range(3):
            application.outbox.publish(session, "user.registered", {})
    slow: dict[str, list[str]] = {
        "mysql": ["ALTER TABLE asyncflow_task MODIFY max_retries SMALLINT NOT NULL"],
        "postgresql": ["ALTER TABLE asyncflow_task ALTER COLUMN max_retries TYPE SMALLINT"],
        "sqlite": [],
    }
    run(engine, [*slow[engine.dialect.name], DROP_STAGE, DROP_INDEX[engine.dialect.name]])
    before = len(kinds(engine))
    assert upgraded(engine) == 1
    assert "run it in a quiet time" in capsys.readouterr().out
    # A column and an index come while others write; SQLite has one writer, and an index takes it.
    assert len(kinds(engine)) == (1 if engine.dialect.name == "sqlite" else before - 2) == 1
    assert upgraded(engine, "--in-quiet-time") == 0
    assert kinds(engine) == []
    assert rows(engine, "asyncflow_task") == 3


def test_an_index_that_was_left_half_made_is_made_again(application: Application) -> None:
    engine = application.engine
    if engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL leaves one")
    name = "ix_asyncflow_task_head"
    run(engine, [f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST('{name}' AS regclass)"])
    operations = check(engine, Outbox(MetaData())).operations
    beside = SchemaOperation(
        **{
            **vars(operations[0]),
            "sql": (
                f"DROP INDEX CONCURRENTLY IF EXISTS {name}_new",
                f"CREATE INDEX CONCURRENTLY {name}_new ON asyncflow_task (status, task_type, shard, order_time, id)",
                f"DROP INDEX CONCURRENTLY {name}",
                f"ALTER INDEX {name}_new RENAME TO {name}",
            ),
        }
    )
    assert Upgrade(engine, Outbox(MetaData())).run(beside).left is None
    assert kinds(engine) == []


def test_what_the_database_refuses_is_told_and_the_rest_is_run(application: Application, capsys: Capsys) -> None:
    engine = application.engine
    if engine.dialect.name == "sqlite":
        pytest.skip("its table is made anew as a whole")
    drop: dict[str, str] = {
        "mysql": "ALTER TABLE asyncflow_job DROP PRIMARY KEY",
        "postgresql": "ALTER TABLE asyncflow_job DROP CONSTRAINT asyncflow_job_pkey",
    }
    run(engine, [drop[engine.dialect.name], "DROP TABLE asyncflow_turn"])
    job: dict[str, Any] = {"name": "a", "config": "{}", "sharding_total_count": 1, "disabled": False}
    with engine.begin() as connection:
        for _ in range(2):
            connection.execute(insert(application.outbox.jobs), {**job, "modified_at": timedelta(0)})
    assert upgraded(engine) == 1
    told = capsys.readouterr().out
    assert "left as it is: the database answered: " in told
    assert told.endswith("1 difference is left; `asyncflow schema check` shows what mends it\n")
    assert kinds(engine) == [DifferenceKind.PRIMARY_KEY]
    assert rows(engine, "asyncflow_job") == 2


def test_an_empty_database_is_filled_and_the_inbox_is_its_owners(sqlite_engine: Engine) -> None:
    metadata = MetaData()
    outbox = Outbox(metadata)
    Inbox(metadata)
    for operation in check(sqlite_engine, outbox).operations:
        assert Upgrade(sqlite_engine, outbox).run(operation).left is None
    assert check(sqlite_engine, outbox).operations == ()
