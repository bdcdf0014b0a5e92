"""The bell: rung once by the outermost commit, never by anything else, never heard by the caller."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from asyncflow import Message
from asyncflow.outbox.transaction.wakeup import Bell, place_of
from tests.integration.outbox.ways import AsyncWay, Way
from tests.support.application import Application

Rings = list[set[str]]


@pytest.fixture
def rings(application: Application) -> Rings:
    """Give the rings of the application's bell, each as its task types."""
    heard: Rings = []
    application.outbox.message("order.paid")
    application.outbox.bell.connect(lambda types: heard.append(set(types)))
    return heard


def test_the_commit_rings_once_with_its_types(application: Application, rings: Rings, way: Way) -> None:
    with way(application.engine) as target:
        application.outbox.publish(target, "user.registered", 1)
        application.outbox.publish(target, "order.paid", 2)
        application.outbox.publish_many(target, "user.registered", [Message(3), Message(4)])
        assert rings == []
    assert rings == [{"user.registered", "order.paid"}]


async def test_the_commit_of_an_async_session_rings_once(
    application: Application, rings: Rings, async_engine: AsyncEngine, async_way: AsyncWay
) -> None:
    async with async_way(async_engine) as session:
        application.outbox.publish(session, "user.registered", 1)
        application.outbox.publish_many(session, "order.paid", [Message(2)])
    assert rings == [{"user.registered", "order.paid"}]


def test_the_release_of_a_savepoint_does_not_ring(application: Application, rings: Rings, way: Way) -> None:
    with way(application.engine) as target:
        application.outbox.publish(target, "user.registered", 1)
        with target.begin_nested():
            application.outbox.publish(target, "order.paid", 2)
            with target.begin_nested():
                application.outbox.publish(target, "order.paid", 3)
        assert rings == []
    assert rings == [{"user.registered", "order.paid"}]


def test_a_commit_of_all_levels_rings_once(application: Application, rings: Rings) -> None:
    with application.session() as session:
        session.begin_nested()
        application.outbox.publish(session, "user.registered", 1)
        session.commit()
        session.commit()
    assert rings == [{"user.registered"}]


def test_a_commit_without_tasks_does_not_ring(application: Application, rings: Rings, way: Way) -> None:
    with way(application.engine) as target:
        target.execute(insert(application.User).values(account_no="A1001"))
        application.outbox.publish_many(target, "user.registered", [])
    assert rings == []


def test_each_commit_of_a_session_rings_for_its_own_tasks(application: Application, rings: Rings) -> None:
    with application.session() as session:
        for name in ("user.registered", "order.paid"):
            application.outbox.publish(session, name, 1)
            session.commit()
        session.execute(application.outbox.tasks.select())
        session.commit()
    assert rings == [{"user.registered"}, {"order.paid"}]


@pytest.mark.parametrize("end", ["rollback", "close", "reset", "invalidate"])
def test_a_session_forgets_what_was_not_committed(application: Application, rings: Rings, end: str) -> None:
    session = application.session()
    application.outbox.publish(session, "user.registered", 1)
    session.flush()
    getattr(session, end)()
    application.outbox.publish(session, "order.paid", 2)
    session.commit()
    session.close()
    assert rings == [{"order.paid"}]


def test_a_connection_forgets_what_was_not_committed(application: Application, rings: Rings) -> None:
    with application.engine.connect() as connection:
        application.outbox.publish(connection, "user.registered", 1)
        connection.rollback()
        application.outbox.publish(connection, "order.paid", 2)
        connection.commit()
    assert rings == [{"order.paid"}]


def test_a_connection_goes_back_to_the_pool_without_its_notes(application: Application, rings: Rings) -> None:
    engine = create_engine(application.engine.url, poolclass=QueuePool, pool_size=1, max_overflow=0)
    drivers = set()
    with engine.connect() as connection:
        drivers.add(connection.connection.driver_connection)
        application.outbox.publish(connection, "user.registered", 1)
    with engine.begin() as connection:
        drivers.add(connection.connection.driver_connection)
        application.outbox.publish(connection, "order.paid", 2)
    with engine.begin() as connection:
        drivers.add(connection.connection.driver_connection)
        connection.execute(insert(application.User).values(account_no="A1001"))
        assert not [key for key in connection.info if "asyncflow" in str(key)]
    assert len(drivers) == 1
    assert rings == [{"order.paid"}]
    engine.dispose()


def test_a_connection_taken_again_from_the_pool_rings_again(application: Application, rings: Rings) -> None:
    engine = create_engine(application.engine.url, poolclass=QueuePool, pool_size=1, max_overflow=0)
    for name in ("user.registered", "order.paid", "user.registered"):
        with engine.begin() as connection:
            application.outbox.publish(connection, name, 1)
    assert rings == [{"user.registered"}, {"order.paid"}, {"user.registered"}]
    engine.dispose()


def test_a_connection_that_was_lost_can_be_rolled_back(application: Application, rings: Rings) -> None:
    with application.engine.connect() as connection:
        application.outbox.publish(connection, "user.registered", 1)
        connection.invalidate()
        connection.rollback()
        application.outbox.publish(connection, "order.paid", 2)
        connection.commit()
    assert rings == [{"order.paid"}]


def test_a_listener_that_raises_never_reaches_the_caller(
    application: Application, rings: Rings, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(types: frozenset[str]) -> None:
        raise RuntimeError("no scheduler")

    application.outbox.bell.disconnect(broken)
    application.outbox.bell.connect(broken)
    application.outbox.bell.connect(lambda types: rings.append({"heard after it"}))
    with caplog.at_level(logging.ERROR, "asyncflow"), way(application.engine) as target:
        application.outbox.publish(target, "user.registered", 1)
    assert rings == [{"user.registered"}, {"heard after it"}]
    assert "A wake-up listener raised" in caplog.text
    assert "no scheduler" in caplog.text
    assert len(application.rows()) == 1


def test_a_listener_that_left_hears_nothing(application: Application, way: Way) -> None:
    heard: list[Any] = []
    application.outbox.bell.connect(heard.append)
    with way(application.engine) as target:
        application.outbox.publish(target, "user.registered", 1)
        application.outbox.bell.disconnect(heard.append)
    assert heard == []


def test_who_connects_while_another_disconnects_is_heard_of() -> None:
    bell, heard = Bell(), list[frozenset[str]]()
    connecting = threading.Thread(target=bell.connect, args=(heard.append,))

    class Leaving:
        def __call__(self, types: frozenset[str]) -> None: ...

        def __eq__(self, other: object) -> bool:
            connecting.start()
            connecting.join(0.5)  # in which it would be done if nothing kept it waiting
            return self is other

        __hash__ = object.__hash__

    leaving = Leaving()
    bell.connect(leaving)
    bell.disconnect(leaving)
    connecting.join()
    bell.ring(frozenset({"order.paid"}))
    assert heard == [{"order.paid"}]


def test_without_a_listener_nothing_listens(application: Application) -> None:
    with application.session() as session, application.engine.connect() as connection:
        application.outbox.publish(session, "user.registered", 1)
        application.outbox.publish(connection, "user.registered", 1)
        assert not session.info
        assert not [key for key in connection.info if "asyncflow" in str(key)]
        assert not session.dispatch.after_commit


def test_only_this_session_is_listened_to(application: Application, rings: Rings) -> None:
    with application.session() as session:
        application.outbox.publish(session, "user.registered", 1)
        session.commit()
        assert session.dispatch.after_commit
    assert not Session(application.engine).dispatch.after_commit


@pytest.mark.parametrize("mode", ["conditional_savepoint", "create_savepoint", "rollback_only"])
def test_a_session_that_joined_a_connection_s_transaction_rings_when_that_commits(
    application: Application, rings: Rings, mode: Any
) -> None:
    for commits in (False, True):
        with application.engine.connect() as connection, connection.begin() as transaction:
            with Session(connection, join_transaction_mode=mode) as session:
                application.outbox.publish(session, "user.registered", 1)
                session.commit()
                assert rings == []
            if commits:
                transaction.commit()
            else:
                transaction.rollback()
        assert rings == ([{"user.registered"}] if commits else [])


def test_a_session_that_begins_the_transaction_of_its_connection_rings_when_it_commits(
    application: Application, rings: Rings
) -> None:
    with application.engine.connect() as connection, Session(connection) as session:
        application.outbox.publish(session, "user.registered", 1)
        session.commit()
        assert rings == [{"user.registered"}]


def test_two_outboxes_ring_their_own_bells(application: Application, rings: Rings) -> None:
    from asyncflow import Outbox

    other = Outbox(application.Base.metadata)
    other.message("bank.paid")
    heard: Rings = []
    other.bell.connect(lambda types: heard.append(set(types)))
    with application.session() as session:
        application.outbox.publish(session, "user.registered", 1)
        other.publish(session, "bank.paid", 1)
        session.commit()
    assert (rings, heard) == ([{"user.registered"}], [{"bank.paid"}])


def test_a_task_published_by_the_session_s_own_events_rings(application: Application, rings: Rings) -> None:
    def publish(session: Session) -> None:
        application.outbox.publish(session, "user.registered", 1)

    with application.session() as session:
        event.listen(session, "before_commit", publish)
        session.add(application.User(account_no="A1001"))
        session.commit()
    assert rings == [{"user.registered"}]


def test_a_connection_of_an_engine_with_execution_options_rings_as_well(application: Application, rings: Rings) -> None:
    with application.engine.execution_options(of_the_application=1).begin() as connection:
        application.outbox.publish(connection, "user.registered", {})
    assert rings == [{"user.registered"}]


def test_who_listens_for_one_database_hears_of_its_commits_and_of_those_that_nobody_knows(
    application: Application, way: Way, tmp_path: Path
) -> None:
    heard: list[str] = []
    bell = application.outbox.bell
    elsewhere, unknown = (create_engine(f"sqlite:///{tmp_path / name}.db") for name in ("elsewhere", "unknown"))
    bell.connect(lambda _: heard.append("here"), place_of(application.engine))
    bell.connect(lambda _: heard.append("elsewhere"), place_of(elsewhere))
    with way(application.engine) as target:
        application.outbox.publish(target, "user.registered", 1)
    assert heard == ["here"]
    for engine, told in ((elsewhere, ["elsewhere"]), (unknown, ["here", "elsewhere"])):
        heard.clear()
        application.Base.metadata.create_all(engine)
        with way(engine) as target:
            application.outbox.publish(target, "user.registered", 1)
        assert heard == told
        engine.dispose()


def test_a_session_of_several_engines_wakes_all(application: Application) -> None:
    heard: list[str] = []
    application.outbox.bell.connect(lambda _: heard.append("here"), place_of(application.engine))
    application.outbox.bell.connect(lambda _: heard.append("there"), ("mysql", "elsewhere", 3306, "shop"))
    binds: Any = dict.fromkeys(application.Base.metadata.sorted_tables, application.engine)
    with Session(binds=binds) as session, session.begin():
        application.outbox.publish(session, "user.registered", 1)
    assert heard == ["here", "there"]
