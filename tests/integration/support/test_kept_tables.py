"""The tables that stay from test to test: empty and as new, or gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.exc import ProgrammingError

from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.ids import new_id
from tests.support.application import Application
from tests.support.databases import drop_everything, fresh_database, open_engine, table_names
from tests.support.kept_tables import KeptTables

CHANGES = {
    "a column": ["ALTER TABLE asyncflow_task ADD COLUMN more INTEGER"],
    "a column's type": [
        "ALTER TABLE users MODIFY name VARCHAR(41)",
        "ALTER TABLE users ALTER COLUMN name TYPE VARCHAR(41)",
    ],
    "a lost index": [
        "DROP INDEX ix_asyncflow_task_head ON asyncflow_task",
        "DROP INDEX ix_asyncflow_task_head",
    ],
    "a table more": ["CREATE TABLE more (number INTEGER)"],
    "a table less": ["DROP TABLE asyncflow_audit"],
    "a trigger": [
        "CREATE TRIGGER noted AFTER DELETE ON users FOR EACH ROW SET @noted = 1",
        "CREATE TRIGGER noted BEFORE UPDATE ON users EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ],
}


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def own_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with fresh_database(request.param, tmp_path_factory.mktemp(request.param)) as url:
        engine = open_engine(url)
        yield engine
        engine.dispose()


def begin(kept: KeptTables, engine: Engine) -> Application:
    application = Application(engine, has_tables=kept.take(engine))
    kept.note(engine)
    return application


def test_tables_with_rows_are_kept_and_empty(own_engine: Engine) -> None:
    kept = KeptTables()
    application = begin(kept, own_engine)
    with application.session() as session, session.begin():
        session.add(application.User(account_no="A1001"))
        application.outbox.publish(session, "user.registered", {})
    kept.leave(own_engine)
    assert kept.take(own_engine)
    assert application.rows() == []
    assert application.rows(application.users.select()) == []
    assert not kept.take(own_engine)  # they belong to a test now
    kept.leave(own_engine)
    kept.drop()
    assert not kept.take(own_engine)
    with own_engine.connect() as connection:
        assert table_names(connection) == []


def test_turns_begin_again(own_engine: Engine) -> None:
    kept = KeptTables()
    dialect = dialect_of(own_engine.dialect.name)
    drawn = []
    for _ in range(2):
        application = begin(kept, own_engine)
        with own_engine.begin() as connection:
            drawn.append(dialect.draw(connection, application.outbox.turns))
        kept.leave(own_engine)
    assert drawn == [1, 1]
    assert kept.take(own_engine)
    drop_everything(own_engine)


@pytest.mark.parametrize("change", CHANGES)
def test_tables_that_a_test_has_changed_are_gone(change: str, own_engine: Engine) -> None:
    kept = KeptTables()
    begin(kept, own_engine)
    statements = CHANGES[change]
    with own_engine.begin() as connection:
        connection.exec_driver_sql(statements[0 if own_engine.dialect.name == "mysql" else -1])
    kept.leave(own_engine)
    assert not kept.take(own_engine)
    with own_engine.connect() as connection:
        assert table_names(connection) == []


def test_tables_that_were_large_are_gone(own_engine: Engine) -> None:
    kept = KeptTables()
    application = begin(kept, own_engine)
    with own_engine.begin() as connection:
        connection.execute(insert(application.users), [{"account_no": str(new_id())} for _ in range(400)])
    kept.leave(own_engine)
    assert not kept.take(own_engine)
    with pytest.raises(ProgrammingError):
        application.rows()
