"""What cannot take a task is refused: what is no transaction, and what commits by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from asyncflow import Message, Outbox, Scheduler
from asyncflow.errors import NotTransactionalError, OptionError, WrongTargetError
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application

ONE = [Message(1)]
Publish = Callable[[Outbox, Any], Any]

publishing = pytest.mark.parametrize(
    "publish",
    [
        pytest.param(lambda outbox, target: outbox.publish(target, "user.registered", 1), id="publish"),
        pytest.param(lambda outbox, target: outbox.publish_many(target, "user.registered", ONE), id="one"),
        pytest.param(lambda outbox, target: outbox.publish_many(target, "user.registered", ONE * 3), id="many"),
    ],
)


@publishing
def test_an_engine_or_a_sessionmaker_is_refused_with_the_remedy(application: Application, publish: Publish) -> None:
    for target in (application.engine, sessionmaker(application.engine)):
        with pytest.raises(WrongTargetError) as refused:
            publish(application.outbox, target)
        kind = type(target).__name__
        article = "an" if kind == "Engine" else "a"
        assert str(refused.value) == (
            f"{article} {kind} cannot take a task; give the Session, AsyncSession or Connection of your transaction, "
            f"opened from this {kind} where the business rows are written"
        )
    assert application.rows() == []


@publishing
def test_what_is_nothing_of_sqlalchemy_is_refused(application: Application, publish: Publish) -> None:
    for target in (None, "sqlite://", object(), application.engine.pool):
        with pytest.raises(WrongTargetError, match="give the Session, AsyncSession or Connection of your transaction"):
            publish(application.outbox, target)
    assert application.rows() == []


def test_a_driver_s_connection_is_refused(application: Application) -> None:
    with application.engine.connect() as connection:
        driver = connection.connection.driver_connection
        with pytest.raises(WrongTargetError, match="cannot take a task"):
            application.outbox.publish(driver, "user.registered", 1)  # type: ignore[arg-type]


def autocommitting_engines(engine: Engine) -> list[Engine]:
    return [
        create_engine(engine.url, isolation_level="AUTOCOMMIT"),
        create_engine(engine.url, execution_options={"isolation_level": "AUTOCOMMIT"}),
        create_engine(engine.url).execution_options(isolation_level="AUTOCOMMIT"),
        create_engine(engine.url).execution_options(isolation_level="autocommit"),
    ]


@publishing
def test_an_engine_in_autocommit_is_refused(application: Application, publish: Publish) -> None:
    for engine in autocommitting_engines(application.engine):
        with engine.connect() as connection, pytest.raises(NotTransactionalError, match=r"use .* engine.begin\(\)"):
            publish(application.outbox, connection)
        with Session(engine) as session, pytest.raises(NotTransactionalError, match="AUTOCOMMIT"):
            publish(application.outbox, session)
        with engine.connect() as connection, Session(connection) as session, pytest.raises(NotTransactionalError):
            publish(application.outbox, session)
        engine.dispose()
    assert application.rows() == []


@publishing
def test_a_connection_in_autocommit_is_refused(application: Application, publish: Publish) -> None:
    with application.engine.connect() as connection, pytest.raises(NotTransactionalError):
        publish(application.outbox, connection.execution_options(isolation_level="AUTOCOMMIT"))
    assert application.rows() == []


@publishing
def test_a_session_that_chose_autocommit_for_this_transaction_is_refused(
    application: Application, publish: Publish
) -> None:
    def publish_in_autocommit() -> None:
        with application.session() as session:
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            publish(application.outbox, session)
            session.flush()

    with pytest.raises(NotTransactionalError):
        publish_in_autocommit()
    assert application.rows() == []


@publishing
def test_a_connection_that_left_autocommit_takes_tasks(application: Application, publish: Publish) -> None:
    level = "SERIALIZABLE"
    with application.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execution_options(isolation_level=level)
        publish(application.outbox, connection)
        connection.commit()
    assert application.rows()


@publishing
def test_a_connection_of_an_autocommit_engine_may_choose_a_transaction(
    application: Application, publish: Publish
) -> None:
    engine = create_engine(application.engine.url, isolation_level="AUTOCOMMIT")
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        publish(application.outbox, connection)
        connection.rollback()
    engine.dispose()
    assert application.rows() == []


def test_an_inbox_in_autocommit_is_refused(application: Application) -> None:
    engine = create_engine(application.engine.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, pytest.raises(NotTransactionalError):
        application.inbox.process_once(connection, "m1", consumer="points")
    with Session(engine) as session, pytest.raises(NotTransactionalError):
        application.inbox.process_once(session, "m1", consumer="points")
    engine.dispose()
    assert application.rows(application.inbox.entries.select()) == []


TENANT: Any = {"schema_translate_map": {None: "tenant", "other": "tenant"}}


@publishing
def test_a_map_that_leads_the_tables_to_another_schema_is_refused(
    sqlite_application: Application, publish: Publish
) -> None:
    application, engine = sqlite_application, sqlite_application.engine.execution_options(**TENANT)
    with engine.connect() as connection, Session(engine) as session, application.session() as chooses_late:
        for target in (connection, session):
            with pytest.raises(WrongTargetError, match=r"leads the table asyncflow_task to the schema 'tenant', where"):
                publish(application.outbox, target)
        chooses_late.connection(execution_options=TENANT)
        with pytest.raises(WrongTargetError, match="Outbox"):
            _publish_and_commit(publish, application.outbox, chooses_late)
        with pytest.raises(WrongTargetError, match="leads the table"):
            application.outbox.find(session)
    with pytest.raises(OptionError, match="leads the table"):
        Scheduler(engine, application.outbox, {"kafka": MemoryPublisher()}).start()
    assert application.rows() == []


@publishing
def test_a_map_that_leaves_the_tables_where_they_are_is_none(sqlite_application: Application, publish: Publish) -> None:
    elsewhere: Any = {"schema_translate_map": {"tenant": "tenant_1", None: "main"}}  # SQLite's own name of None
    with Session(sqlite_application.engine.execution_options(**elsewhere)) as session, session.begin():
        publish(sqlite_application.outbox, session)
    assert sqlite_application.rows()


def _publish_and_commit(publish: Publish, outbox: Outbox, session: Session) -> None:
    publish(outbox, session)
    session.commit()
