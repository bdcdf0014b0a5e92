"""The same laws in AsyncSession and AsyncConnection."""

from __future__ import annotations

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from asyncflow import Message
from asyncflow.errors import NotTransactionalError, PayloadNotSerializableError, WrongTargetError
from tests.integration.outbox.watch import checkouts_of, statements_of
from tests.integration.outbox.ways import AsyncWay
from tests.support.application import Application


async def test_a_commit_leaves_business_row_and_tasks(
    application: Application, async_engine: AsyncEngine, async_way: AsyncWay
) -> None:
    async with async_way(async_engine) as session:
        session.add(application.User(account_no="A1001"))
        first = application.outbox.publish(session, "user.registered", {"a": 1}, key="A1001")
        more = application.outbox.publish_many(session, "user.registered", [Message(b"\x00\xff"), Message(3)])
    rows = application.rows()
    assert [row.id for row in rows] == sorted([first, *more])
    assert {row.id: row.payload for row in rows} == {first: b'{"a":1}', more[0]: b"\x00\xff", more[1]: b"3"}
    assert application.rows(select(application.User.account_no)) == [("A1001",)]


async def test_an_error_in_the_transaction_leaves_neither(
    application: Application, async_engine: AsyncEngine, async_way: AsyncWay
) -> None:
    async def publish_and_fail() -> None:
        async with async_way(async_engine) as session:
            session.add(application.User(account_no="A1001"))
            application.outbox.publish(session, "user.registered", 1)
            await session.flush()
            application.outbox.publish_many(session, "user.registered", [Message(2)])
            raise LookupError

    with pytest.raises(LookupError):
        await publish_and_fail()
    assert application.rows() == []
    assert application.rows(select(application.User.account_no)) == []


async def test_publishing_sends_nothing_and_takes_no_connection(
    application: Application, async_engine: AsyncEngine
) -> None:
    engine = async_engine.sync_engine
    async with AsyncSession(async_engine) as session:
        with statements_of(engine) as sent, checkouts_of(engine) as taken:
            application.outbox.publish(session, "user.registered", 1)
            application.outbox.publish_many(session, "user.registered", [Message(2)] * 3)
            assert (sent, taken) == ([], [])
        await session.commit()
    assert len(application.rows()) == 4


async def test_a_savepoint_that_is_rolled_back_leaves_nothing(
    application: Application, async_engine: AsyncEngine
) -> None:
    async with AsyncSession(async_engine) as session, session.begin():
        kept = application.outbox.publish(session, "user.registered", 1)
        savepoint = await session.begin_nested()
        application.outbox.publish(session, "user.registered", 2)
        application.outbox.publish_many(session, "user.registered", [Message(3)])
        await savepoint.rollback()
        later = application.outbox.publish(session, "user.registered", 4)
    assert [row.id for row in application.rows()] == [kept, later]


async def test_a_bulk_of_an_async_session_is_written(application: Application, async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as session, session.begin():
        ids = application.outbox.publish_many(session, "user.registered", [Message(n) for n in range(600)])
    assert [row.id for row in application.rows()] == sorted(ids)


async def test_a_bulk_through_run_sync_is_written_at_once(application: Application, async_engine: AsyncEngine) -> None:
    given = [Message({"n": n}, key=f"%s 'A{n}'") for n in range(600)]
    async with AsyncSession(async_engine) as session, session.begin():
        with statements_of(async_engine.sync_engine) as sent:
            ids = await session.run_sync(lambda sync: application.outbox.publish_many(sync, "user.registered", given))
        assert 1 <= len(sent) <= 2
    assert [row.id for row in application.rows()] == sorted(ids)
    assert {row.task_key for row in application.rows()} == {message.key for message in given}


async def test_an_async_connection_publishes_through_run_sync(
    application: Application, async_engine: AsyncEngine
) -> None:
    async with async_engine.begin() as connection:
        await connection.execute(insert(application.User).values(account_no="A1001"))
        task_id = await connection.run_sync(
            lambda sync: application.outbox.publish(sync, "user.registered", b"\x00\xff", key="A1001")
        )
        count = select(func.count()).select_from(application.outbox.tasks)
        assert (await connection.execute(count)).scalar_one() == 1
    assert [row.id for row in application.rows()] == [task_id]


async def test_an_async_connection_itself_is_refused_with_the_remedy(
    application: Application, async_engine: AsyncEngine
) -> None:
    async with async_engine.connect() as connection:
        with pytest.raises(WrongTargetError, match=r"await connection.run_sync\(lambda sync: outbox.publish\(sync"):
            application.outbox.publish(connection, "user.registered", 1)  # type: ignore[arg-type]
    with pytest.raises(WrongTargetError, match="opened from this AsyncEngine"):
        application.outbox.publish(async_engine, "user.registered", 1)  # type: ignore[arg-type]


async def test_a_refusal_leaves_the_async_session_usable(application: Application, async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as session, session.begin():
        session.add(application.User(account_no="A1001"))
        with pytest.raises(PayloadNotSerializableError):
            application.outbox.publish(session, "user.registered", {1, 2})
        with pytest.raises(PayloadNotSerializableError):
            application.outbox.publish_many(session, "user.registered", [Message(1), Message({2})])
    assert application.rows() == []
    assert application.rows(select(application.User.account_no)) == [("A1001",)]


async def test_an_async_session_in_autocommit_is_refused(application: Application, async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        with pytest.raises(NotTransactionalError):
            application.outbox.publish(session, "user.registered", 1)
    assert application.rows() == []
