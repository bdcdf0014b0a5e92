"""An idempotency key used twice enqueues once, in the caller's transaction."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker

from asyncflow import Call, Enqueued, Message
from asyncflow.errors import InvalidArgumentsError, InvalidKeyError, WrongTargetError
from asyncflow.events import TaskEnqueued
from asyncflow.testing import Signals
from tests.integration.outbox.watch import checkouts_of, statements_of
from tests.integration.outbox.ways import Way
from tests.support.application import Application

REGISTERED = "user.registered"


@pytest.fixture
def application(application: Application) -> Application:
    application.outbox.message("user.left")

    @application.outbox.task
    def issue_coupon(account_no: str) -> None: ...

    return application


def publish(application: Application, target: Any, idempotency_key: Any, payload: Any = 1) -> UUID:
    return application.outbox.publish(target, REGISTERED, payload, idempotency_key=idempotency_key)


def ids(application: Application) -> list[UUID]:
    return [row.id for row in application.rows()]


def test_the_second_use_writes_nothing_and_gets_the_first_ones_id(application: Application, way: Way) -> None:
    got = []
    for payload in (1, 2, 3):
        with way(application.engine) as target:
            got.append(publish(application, target, "k", payload))
    (row,) = application.rows()
    assert got == [row.id] * 3
    assert row.payload == b"1"


def test_twice_in_one_transaction_is_once(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        first = publish(application, target, "k")
        assert publish(application, target, "k") == first
        other = publish(application, target, "K")
    assert ids(application) == [first, other]


def test_a_task_is_enqueued_once(application: Application, way: Way) -> None:
    got = []
    for account_no in ("A1", "A2"):
        with way(application.engine) as target:
            got.append(
                application.outbox.enqueue(target, "issue_coupon", account_no=account_no, idempotency_key="request-1")
            )
    (row,) = application.rows()
    assert got == [row.id] * 2
    assert row.payload == b'{"account_no":"A1"}'


def test_a_key_is_that_of_its_type_alone(application: Application) -> None:
    with application.session() as session, session.begin():
        tasks = [publish(application, session, "k")]
        tasks.append(application.outbox.publish(session, "user.left", 1, idempotency_key="k"))
        tasks.append(application.outbox.enqueue(session, "issue_coupon", account_no="A1", idempotency_key="k"))
    assert ids(application) == sorted(tasks)


def test_what_has_no_key_is_written_each_time(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        assert len({publish(application, target, None) for _ in range(2)}) == 2
    assert application.rows(select(application.outbox.dedupe_entries)) == []


def test_a_rollback_frees_the_key(application: Application) -> None:
    with application.session() as session:
        lost = publish(application, session, "k")
        session.rollback()
        kept = publish(application, session, "k")
        session.commit()
    assert lost != kept
    assert ids(application) == [kept]


def test_a_savepoint_that_is_rolled_back_frees_the_key(application: Application) -> None:
    with application.session() as session, session.begin():
        session.add(application.User(account_no="A1001"))
        session.flush()
        with session.begin_nested() as savepoint:
            publish(application, session, "k")
            savepoint.rollback()
        with session.begin_nested():
            kept = publish(application, session, "k")
        assert publish(application, session, "k") == kept
    assert ids(application) == [kept]


def test_a_second_use_leaves_the_transaction_usable(application: Application, way: Way) -> None:
    with application.session() as session, session.begin():
        publish(application, session, "k")
    with way(application.engine) as target:
        publish(application, target, "k")
        publish(application, target, "other")
        application.outbox.publish(target, REGISTERED, 1)
    assert len(application.rows()) == 3


def test_it_says_whether_the_task_is_new(application: Application, way: Way) -> None:
    outbox = application.outbox
    call, message = Call({"account_no": "A1"}, idempotency_key="k"), Message(1, idempotency_key="k")
    with way(application.engine) as target:
        task, sent = outbox.enqueue_once(target, "issue_coupon", call), outbox.publish_once(target, REGISTERED, message)
        assert [task.is_new, sent.is_new] == [True, True]
    with way(application.engine) as target:
        assert outbox.enqueue_once(target, "issue_coupon", call) == Enqueued(task.id, False)
        assert outbox.publish_once(target, REGISTERED, message) == Enqueued(sent.id, False)
        assert outbox.publish_once(target, REGISTERED, Message(1)).is_new


def test_a_bulk_is_sifted_key_by_key(application: Application, way: Way) -> None:
    with application.session() as session, session.begin():
        known = publish(application, session, "known")
    keys = ["a", "known", None, "a", "b", None]
    with way(application.engine) as target:
        got = application.outbox.publish_many(target, REGISTERED, [Message(1, idempotency_key=key) for key in keys])
    assert got[1] == known
    assert got[3] == got[0]
    assert len(set(got)) == 5
    assert sorted(ids(application)) == sorted(set(got))


@pytest.mark.parametrize("count", [1, 199, 200, 201, 900])
def test_a_bulk_of_any_size_is_written_once(application: Application, count: int) -> None:
    calls = [Call({"account_no": str(number)}, idempotency_key=f"k{number}") for number in range(count)]
    got = []
    for _ in range(2):
        with application.session() as session, session.begin():
            got.append(application.outbox.enqueue_many(session, "issue_coupon", calls))
    assert got[0] == got[1]
    assert sorted(ids(application)) == sorted(got[0])


def test_a_bulk_is_written_in_few_statements_on_the_callers_connection(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        application.outbox.publish(target, REGISTERED, 1)
        getattr(target, "flush", lambda: None)()
        with statements_of(application.engine) as sent, checkouts_of(application.engine) as taken:
            messages = [Message(1, idempotency_key=str(number)) for number in range(400)]
            application.outbox.publish_many(target, REGISTERED, messages)
    assert len(sent) <= 4
    assert taken == []


def test_it_costs_one_statement_more_and_no_commit(application: Application) -> None:
    with application.session() as session:
        publish(application, session, "warm")
        with statements_of(application.engine) as sent:
            publish(application, session, "k")
        assert len(sent) == 2
        session.rollback()
    assert application.rows() == []


def test_only_what_is_new_is_told(application: Application) -> None:
    signals = Signals()
    application.outbox.hooks.add(signals)
    with application.session() as session, session.begin():
        first = publish(application, session, "k")
        publish(application, session, "k")
    assert [event.task_id for event in signals.of(TaskEnqueued)] == [first]


def test_what_is_refused_uses_no_key(application: Application) -> None:
    with application.session() as session, session.begin():
        with pytest.raises(InvalidArgumentsError):
            application.outbox.enqueue(session, "issue_coupon", account=1, idempotency_key="k")
        kept = application.outbox.enqueue(session, "issue_coupon", account_no="A1", idempotency_key="k")
    assert ids(application) == [kept]


@pytest.mark.parametrize("key", ["", " ", "k ", "k" * 256, 5, b"k", "k\x00"])
def test_a_bad_key_is_refused_and_nothing_is_written(application: Application, key: Any) -> None:
    with application.session() as session, session.begin():
        with pytest.raises(InvalidKeyError, match=r"^idempotency_key is "):
            publish(application, session, key)
        with pytest.raises(InvalidKeyError):
            application.outbox.publish_many(session, REGISTERED, [Message(1), Message(1, idempotency_key=key)])
    assert application.rows() == []


async def test_an_async_session_writes_once_where_it_awaits(
    application: Application, async_engine: AsyncEngine
) -> None:
    got = []
    for _ in range(2):
        async with AsyncSession(async_engine) as session, session.begin():
            got.append(await session.run_sync(lambda sync: publish(application, sync, "k")))
    assert ids(application) == [got[0]]
    assert got[0] == got[1]


async def test_an_async_connection_writes_once_where_it_awaits(
    application: Application, async_engine: AsyncEngine
) -> None:
    for _ in range(2):
        async with async_engine.begin() as connection:
            got = await connection.run_sync(lambda sync: publish(application, sync, "k"))
    assert ids(application) == [got]


async def test_an_async_session_itself_is_refused_with_the_remedy(
    application: Application, async_engine: AsyncEngine
) -> None:
    registry = async_scoped_session(async_sessionmaker(async_engine), scopefunc=lambda: 1)
    async with AsyncSession(async_engine) as session:
        for target in (session, registry):
            with pytest.raises(WrongTargetError, match=r"await outbox.enqueue_async\("):
                publish(application, target, "k")
    await registry.remove()
    assert application.rows() == []


@pytest.mark.parametrize("returns", [False, True], ids=["raised", "returned"])
def test_a_key_is_known_though_a_listener_makes_errors_of_its_own(application: Application, returns: bool) -> None:
    class OfTheApplicationError(Exception):
        """Not SQLAlchemy's."""

    def translate(context: Any) -> OfTheApplicationError:
        made = OfTheApplicationError("translated")
        if returns:
            return made
        raise made from context.sqlalchemy_exception

    event.listen(application.engine, "handle_error", translate, retval=True)
    found = list[UUID]()
    for _ in range(2):
        with application.session() as session, session.begin():
            found.append(publish(application, session, "key"))
            assert application.inbox.process_once(session, "message", consumer="points") is (len(found) == 1)
    assert found == ids(application) * 2
