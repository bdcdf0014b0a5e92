"""A message delivered twice takes effect once."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from asyncflow.errors import InvalidMessageIdError, WrongTargetError
from tests.integration.outbox.ways import AsyncWay, Way
from tests.support.application import Application
from tests.support.databases import everywhere

pytestmark = everywhere

AN_ID = uuid.UUID("01936f2e-8b6a-7c3d-9e4f-5a6b7c8d9e0f")


def entries(application: Application) -> list[tuple[str, str]]:
    table = application.inbox.entries
    return sorted((row.consumer, row.message_id) for row in application.rows(select(table)))


def take(application: Application, message_id: Any, consumer: str = "points") -> bool:
    """Take a message in a transaction of its own."""
    with application.session() as session, session.begin():
        return application.inbox.process_once(session, message_id, consumer=consumer)


def test_the_first_delivery_takes_effect_and_the_second_does_not(application: Application, way: Way) -> None:
    answers = []
    for _ in range(3):
        with way(application.engine) as target:
            answers.append(application.inbox.process_once(target, "m1", consumer="points"))
    assert answers == [True, False, False]
    assert entries(application) == [("points", "m1")]


def test_twice_in_one_transaction_is_once(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        assert application.inbox.process_once(target, "m1", consumer="points")
        assert not application.inbox.process_once(target, "m1", consumer="points")
        assert application.inbox.process_once(target, "m2", consumer="points")


def test_a_first_attempt_that_is_rolled_back_leaves_the_message_to_the_second(
    application: Application, way: Way
) -> None:
    def take_and_fail() -> None:
        with way(application.engine) as target:
            target.execute(insert(application.User).values(account_no="A1001"))
            assert application.inbox.process_once(target, "m1", consumer="points")
            raise LookupError

    with pytest.raises(LookupError):
        take_and_fail()
    assert entries(application) == []
    assert take(application, "m1")


def test_each_consumer_takes_a_message_for_itself(application: Application) -> None:
    assert [take(application, "m1", consumer) for consumer in ("points", "coupons", "points")] == [True, True, False]


def test_consumers_are_told_apart_by_case(application: Application) -> None:
    assert [take(application, "m1", consumer) for consumer in ("points", "Points")] == [True, True]


IDS = ["a", "A", "á", "ä", "aa", "ss", "ß", "1", "01", "😀", "a b", "a-b", "%s", "it's", "x" * 255]


def test_ids_that_differ_little_are_different_messages(application: Application) -> None:
    assert [take(application, message_id) for message_id in IDS] == [True] * len(IDS)
    assert [take(application, message_id) for message_id in IDS] == [False] * len(IDS)


@pytest.mark.parametrize("first", [AN_ID, str(AN_ID), str(AN_ID).encode()])
@pytest.mark.parametrize("second", [AN_ID, str(AN_ID), str(AN_ID).encode()])
def test_an_id_is_the_same_as_uuid_text_or_bytes(application: Application, first: Any, second: Any) -> None:
    assert take(application, first)
    assert not take(application, second)


def test_the_message_id_header_of_a_record_is_the_id(application: Application) -> None:
    """What a consumer reads from the broker is what the producer wrote."""
    from asyncflow.testing import MemoryPublisher

    with application.session() as session:
        task_id = application.outbox.publish(session, "user.registered", 1)
        session.commit()
    publisher = MemoryPublisher()
    scheduler = application.scheduler(publisher)
    scheduler.drain()
    scheduler.stop()
    (record,) = publisher.records
    assert take(application, dict(record.headers)["message-id"])
    assert not take(application, task_id)


@pytest.mark.parametrize(
    ("message_id", "fault"),
    [
        ("", "empty"),
        ("a ", "surrounded by spaces"),
        (" a", "surrounded by spaces"),
        (b"a ", "surrounded by spaces"),
        ("a" * 256, "256 characters long"),
        ("a\x00", "control character"),
        (b"\xff\xfe", "is not UTF-8; give its text or a UUID"),
        (5, "an int, not text"),
        (None, "a NoneType, not text"),
        ("\ud800", "half a surrogate pair"),
    ],
)
def test_an_id_that_a_database_would_not_keep_exactly_is_refused(
    application: Application, message_id: Any, fault: str
) -> None:
    with application.session() as session, pytest.raises(InvalidMessageIdError) as refused:
        application.inbox.process_once(session, message_id, consumer="points")
    assert str(refused.value).startswith("message_id ")
    assert fault in str(refused.value)
    assert entries(application) == []


@pytest.mark.parametrize("consumer", ["", " ", "points ", "p" * 101, None, b"points"])
def test_a_bad_consumer_is_refused(application: Application, consumer: Any) -> None:
    with application.session() as session, pytest.raises(InvalidMessageIdError, match=r"^consumer is "):
        application.inbox.process_once(session, "m1", consumer=consumer)
    assert entries(application) == []


def test_a_savepoint_that_is_rolled_back_forgets_the_message(application: Application) -> None:
    with application.session() as session, session.begin():
        session.add(application.User(account_no="A1001"))
        session.flush()
        with session.begin_nested() as savepoint:
            assert application.inbox.process_once(session, "m1", consumer="points")
            savepoint.rollback()
        assert application.inbox.process_once(session, "m1", consumer="points")
    assert entries(application) == [("points", "m1")]


async def test_an_async_session_takes_a_message_once(
    application: Application, async_engine: AsyncEngine, async_way: AsyncWay
) -> None:
    answers = []
    for _ in range(2):
        async with async_way(async_engine) as session:
            for message_id in (AN_ID, str(AN_ID)):
                answers.append(await application.inbox.process_once_async(session, message_id, consumer="points"))
    assert answers == [True, False, False, False]


async def test_an_async_attempt_that_is_rolled_back_leaves_the_message(
    application: Application, async_engine: AsyncEngine
) -> None:
    async with AsyncSession(async_engine) as session:
        assert await application.inbox.process_once_async(session, "m1", consumer="points")
        await session.rollback()
    assert entries(application) == []


async def test_an_async_session_is_refused_with_the_remedy(application: Application, async_engine: AsyncEngine) -> None:
    class OwnSession(AsyncSession):
        pass

    registry = async_scoped_session(async_sessionmaker(async_engine), scopefunc=lambda: 1)
    async with AsyncSession(async_engine) as session, OwnSession(async_engine) as own:
        for target in (session, own, registry):
            with pytest.raises(WrongTargetError, match="needs: await inbox"):
                application.inbox.process_once(target, "m1", consumer="points")  # type: ignore[arg-type]
    await registry.remove()


async def test_a_session_that_is_not_async_is_refused_where_one_awaits(application: Application) -> None:
    with application.session() as session, pytest.raises(WrongTargetError, match=r"call inbox.process_once\(session"):
        await application.inbox.process_once_async(session, "m1", consumer="points")  # type: ignore[arg-type]


@pytest.mark.parametrize("target_of", [lambda engine: engine, sessionmaker, lambda engine: None])
def test_what_is_no_transaction_is_refused(application: Application, target_of: Any) -> None:
    with pytest.raises(WrongTargetError):
        application.inbox.process_once(target_of(application.engine), "m1", consumer="points")


def test_a_scoped_session_takes_a_message(application: Application) -> None:
    registry = scoped_session(sessionmaker(application.engine))
    assert application.inbox.process_once(registry, "m1", consumer="points")  # type: ignore[arg-type]
    registry.commit()
    registry.remove()
    assert not take(application, "m1")


def test_an_inbox_has_a_prefix_of_its_own(application: Application) -> None:
    from sqlalchemy import MetaData

    from asyncflow import Inbox

    engine: Engine = application.engine
    metadata = MetaData()
    other = Inbox(metadata, prefix="coupon_")
    metadata.create_all(engine)
    with Session(engine) as session:
        assert application.inbox.process_once(session, "m1", consumer="points")
        assert other.process_once(session, "m1", consumer="points")
        session.rollback()
    metadata.drop_all(engine)
