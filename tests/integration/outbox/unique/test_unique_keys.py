"""While a task with a unique key waits or is at work, there comes no second one; afterwards there may."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from asyncflow import Call, Enqueued, Status
from asyncflow.errors import InvalidHeadersError, InvalidKeyError, UnknownOptionError, WrongTargetError
from asyncflow.events import TaskEnqueued
from asyncflow.testing import Signals
from tests.integration.outbox.watch import checkouts_of, statements_of
from tests.integration.outbox.ways import AsyncWay, Way
from tests.support.application import Application
from tests.support.databases import everywhere

pytestmark = everywhere

LIVING = [Status.PENDING, Status.PROCESSING]
ENDED = [Status.SUCCESS, Status.FAILED, Status.CANCELLED]


@pytest.fixture
def application(application: Application) -> Application:
    @application.outbox.task
    def rebuild(account_no: str) -> None: ...

    @application.outbox.task
    def forget(account_no: str) -> None: ...

    return application


def enqueue(application: Application, target: Any, unique_key: Any, name: str = "rebuild", **options: Any) -> UUID:
    return application.outbox.enqueue(target, name, account_no="A1", unique_key=unique_key, **options)


def enqueued(application: Application, unique_key: Any = "k", **options: Any) -> UUID:
    with application.session() as session, session.begin():
        return enqueue(application, session, unique_key, **options)


def ids(application: Application) -> list[UUID]:
    return [row.id for row in application.rows()]


def set_status(application: Application, status: Status, **values: Any) -> None:
    with application.engine.begin() as connection:
        connection.execute(update(application.outbox.tasks).values(status=int(status), **values))


def entries(application: Application) -> list[tuple[str, str, UUID]]:
    return [tuple(row) for row in application.rows(select(application.outbox.unique_entries))]


# -- whether there is one --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", LIVING)
def test_while_one_waits_or_is_at_work_nothing_is_written(application: Application, way: Way, status: Status) -> None:
    first = enqueued(application)
    set_status(application, status)
    got = []
    for _ in range(2):
        with way(application.engine) as target:
            got.append(enqueue(application, target, "k", priority=5))
    assert got == [first] * 2
    assert ids(application) == [first]


def test_while_one_waits_for_its_retry_nothing_is_written(application: Application) -> None:
    first = enqueued(application)
    set_status(application, Status.PENDING, retry_count=3)
    assert enqueued(application) == first
    assert ids(application) == [first]


@pytest.mark.parametrize("status", ENDED)
def test_when_it_has_ended_the_next_one_is_written(application: Application, way: Way, status: Status) -> None:
    got = []
    for _ in range(3):
        with way(application.engine) as target:
            got.append(enqueue(application, target, "k"))
        set_status(application, status)
    assert ids(application) == got == sorted(set(got))
    assert entries(application) == [("rebuild", "k", got[-1])]


def test_when_it_was_deleted_the_next_one_is_written(application: Application) -> None:
    first = enqueued(application)
    with application.engine.begin() as connection:
        connection.execute(delete(application.outbox.tasks))
    second = enqueued(application)
    assert second != first
    assert enqueued(application) == second


def test_it_may_end_between_two_uses_in_one_transaction(application: Application) -> None:
    first = enqueued(application)
    with application.engine.begin() as connection:
        assert enqueue(application, connection, "k") == first
        connection.execute(update(application.outbox.tasks).values(status=int(Status.SUCCESS)))
        second = enqueue(application, connection, "k")
        assert second != first
        assert enqueue(application, connection, "k") == second


def test_twice_in_one_transaction_is_once(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        first = enqueue(application, target, "k")
        assert enqueue(application, target, "k") == first
        other = enqueue(application, target, "K")
        accented = enqueue(application, target, "ké")
    assert ids(application) == [first, other, accented]


def test_a_key_is_that_of_its_type_alone(application: Application) -> None:
    with application.session() as session, session.begin():
        tasks = [enqueue(application, session, "k"), enqueue(application, session, "k", "forget")]
    assert ids(application) == tasks


def test_tasks_without_a_key_are_written_each_time(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        assert len({enqueue(application, target, None) for _ in range(2)}) == 2
    assert entries(application) == []


def test_two_tables_of_two_prefixes_know_nothing_of_each_other(application: Application) -> None:
    other = Application(application.engine, prefix="other_")
    other.outbox.task("rebuild")
    try:
        first = enqueued(application)
        with other.session() as session, session.begin():
            second = other.outbox.enqueue(session, "rebuild", unique_key="k")
        assert second != first
        assert [row.id for row in other.rows()] == [second]
    finally:
        other.outbox.tasks.metadata.drop_all(
            application.engine, [table for table in other.outbox.tables if table.name.startswith("other_")]
        )


# -- in the caller's transaction -------------------------------------------------------------------------


def test_a_rollback_frees_the_key(application: Application) -> None:
    with application.session() as session:
        lost = enqueue(application, session, "k")
        session.rollback()
        kept = enqueue(application, session, "k")
        session.commit()
    assert lost != kept
    assert ids(application) == [kept]


def test_a_rollback_leaves_a_key_free_that_was(application: Application) -> None:
    enqueued(application)
    set_status(application, Status.SUCCESS)
    with application.session() as session:
        enqueue(application, session, "k")
        session.rollback()
    kept = enqueued(application)
    assert ids(application)[1:] == [kept]


def test_a_savepoint_that_is_rolled_back_frees_the_key(application: Application) -> None:
    with application.session() as session, session.begin():
        session.add(application.User(account_no="A1001"))
        session.flush()
        with session.begin_nested() as savepoint:
            enqueue(application, session, "k")
            savepoint.rollback()
        with session.begin_nested():
            kept = enqueue(application, session, "k")
        assert enqueue(application, session, "k") == kept
    assert ids(application) == [kept]


def test_a_key_in_use_leaves_the_transaction_usable(application: Application, way: Way) -> None:
    enqueued(application)
    with way(application.engine) as target:
        enqueue(application, target, "k")
        enqueue(application, target, "other")
        application.outbox.publish(target, "user.registered", 1)
    assert len(application.rows()) == 3


# -- how it is told --------------------------------------------------------------------------------------


def test_it_says_whether_the_task_is_new(application: Application, way: Way) -> None:
    call = Call({"account_no": "A1"}, unique_key="k")
    with way(application.engine) as target:
        first = application.outbox.enqueue_once(target, "rebuild", call)
    with way(application.engine) as target:
        assert application.outbox.enqueue_once(target, "rebuild", call) == Enqueued(first.id, False)
    assert first.is_new


def test_a_task_function_takes_it_as_an_option(application: Application) -> None:
    @application.outbox.task
    def reindex(shop: str) -> None: ...

    got = []
    for shop in ("a", "b"):
        with application.session() as session, session.begin():
            got.append(reindex.options(unique_key="index").enqueue_once(session, shop))
    assert [one.is_new for one in got] == [True, False]
    assert [row.payload for row in application.rows()] == [b'{"shop":"a"}']


def test_a_bulk_is_sifted_key_by_key(application: Application, way: Way) -> None:
    known = enqueued(application, "known")
    keys = ["a", "known", None, "a", "b", None]
    calls = [Call({"account_no": "A1"}, unique_key=key) for key in keys]
    calls += [Call({"account_no": "A1"}, idempotency_key=key) for key in "xax"]
    with way(application.engine) as target:
        got = application.outbox.enqueue_many(target, "rebuild", calls)
    assert got[1] == known
    assert got[3] == got[0]
    assert got[8] == got[6]
    assert len(set(got)) == 7
    assert sorted(ids(application)) == sorted(set(got))


@pytest.mark.parametrize("count", [199, 201])
def test_a_bulk_of_any_size_is_written_once(application: Application, count: int) -> None:
    calls = [Call({"account_no": str(number)}, unique_key=f"k{number}") for number in range(count)]
    got = []
    for _ in range(2):
        with application.session() as session, session.begin():
            got.append(application.outbox.enqueue_many(session, "rebuild", calls))
    assert got[0] == got[1]
    assert sorted(ids(application)) == sorted(got[0])


def test_only_what_is_new_is_told(application: Application) -> None:
    signals = Signals()
    application.outbox.hooks.add(signals)
    first = enqueued(application)
    enqueued(application)
    assert [event.task_id for event in signals.of(TaskEnqueued)] == [first]


def test_the_key_is_no_header_that_anybody_sees(application: Application) -> None:
    task_id = enqueued(application, headers={"a": "b"})
    with application.engine.connect() as connection:
        (found,) = application.outbox.find(connection, ids=[task_id]).tasks
    assert found.headers == {"a": "b"}


def test_few_statements_ask_for_it_on_the_callers_connection(application: Application) -> None:
    enqueued(application)
    with application.session() as session:
        enqueue(application, session, "warm")
        with checkouts_of(application.engine) as taken:
            with statements_of(application.engine) as new:
                enqueue(application, session, "new")
            with statements_of(application.engine) as known:
                enqueue(application, session, "k")
        session.rollback()
    assert len(new) <= 4  # seen, taken, held, written
    assert len(known) <= 3
    assert taken == []


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "k ", "k" * 256, 5, b"k", "k\x00"])
def test_a_bad_key_is_refused_and_nothing_is_written(application: Application, key: Any) -> None:
    with application.session() as session, session.begin():
        with pytest.raises(InvalidKeyError, match=r"^unique_key is "):
            enqueue(application, session, key)
        with pytest.raises(InvalidKeyError):
            application.outbox.enqueue_many(session, "rebuild", [Call({"account_no": "A"}, unique_key=key)])
    assert application.rows() == entries(application) == []


def test_the_longest_key_is_kept_whole(application: Application) -> None:
    keys = ["é" * 254 + last for last in "ab"]
    assert len({enqueued(application, key) for key in keys * 2}) == 2


def test_two_kinds_of_keys_in_one_task_are_refused(application: Application) -> None:
    with pytest.raises(InvalidKeyError, match="idempotency_key and unique_key are both given"):
        enqueued(application, idempotency_key="x")
    assert application.rows() == []


def test_a_follow_up_takes_none(application: Application) -> None:
    @application.outbox.task
    def reindex(shop: str) -> None: ...

    with application.session() as session, session.begin(), pytest.raises(InvalidKeyError, match="unique_key of a"):
        reindex.options(then=reindex.options(unique_key="k").later("a")).enqueue(session, "b")
    assert application.rows() == []


def test_a_message_takes_none(application: Application) -> None:
    with application.session() as session, pytest.raises(UnknownOptionError, match="unique_key"):
        application.outbox.publish(session, "user.registered", 1, unique_key="k")  # type: ignore[arg-type]


def test_its_header_is_reserved(application: Application) -> None:
    with pytest.raises(InvalidHeadersError, match="asyncflow-unique"):
        enqueued(application, None, headers={"asyncflow-unique": "k"})


# -- where it awaits -------------------------------------------------------------------------------------


async def test_an_async_session_writes_once_where_it_awaits(
    application: Application, async_engine: AsyncEngine, async_way: AsyncWay
) -> None:
    got = []
    for _ in range(2):
        async with async_way(async_engine) as session:
            got.append(await application.outbox.enqueue_async(session, "rebuild", account_no="A1", unique_key="k"))
    assert ids(application) == [got[0]]
    assert got[0] == got[1]


async def test_an_async_session_itself_is_refused_with_the_remedy(
    application: Application, async_engine: AsyncEngine
) -> None:
    async with AsyncSession(async_engine) as session:
        with pytest.raises(WrongTargetError, match=r"unique_key .* await outbox.enqueue_async\("):
            enqueue(application, session, "k")
    assert application.rows() == []


# -- entries that lead nowhere ---------------------------------------------------------------------------


def test_an_entry_of_a_task_that_never_was_is_taken_over(application: Application) -> None:
    def leave(connection: Connection) -> None:
        entry = {"task_type": "rebuild", "unique_key": "k", "task_id": uuid4()}
        connection.execute(application.outbox.unique_entries.insert().values(entry))

    with application.engine.begin() as connection:
        leave(connection)
    first = enqueued(application)
    assert enqueued(application) == first
    assert ids(application) == [first]
