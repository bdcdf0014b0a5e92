"""find(): the tasks of an application, by what an index has, as its own transaction sees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, MetaData, event, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from asyncflow import FoundTasks, Message, Outbox, RejectTask, Status
from asyncflow.errors import OptionError, WrongTargetError
from asyncflow.outbox.look_up import key_rows, time_rows
from tests.integration.outbox.ways import AsyncWay, Way
from tests.support.application import Application

Find = Callable[..., FoundTasks]


@pytest.fixture
def find(application: Application) -> Find:
    """Find in a transaction of its own."""

    def find(**wanted: Any) -> FoundTasks:
        with application.engine.connect() as connection:
            return application.outbox.find(connection, **wanted)

    return find


def publish(application: Application, *keys: str | None) -> list[UUID]:
    """Publish a message for each key, a second apart, which ended a while ago."""
    tasks, ids = application.outbox.tasks, []
    with application.engine.begin() as connection:
        for number, key in enumerate(keys):
            ids.append(application.outbox.publish(connection, "user.registered", {"n": 1}, key=key))
            at = update(tasks).where(tasks.c.id == ids[-1])
            connection.execute(at.values(created_at=timedelta(seconds=number - 1000)))
    return ids


def all_pages(find: Find, **wanted: Any) -> list[UUID]:
    """Return the ids of all pages, and require that there is an end."""
    found: list[UUID] = []
    after: str | None = None
    for _ in range(50):
        page = find(**wanted, after=after)
        found += [task.id for task in page]
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages have no end")


def set_status(application: Application, ids: list[UUID], status: Status) -> None:
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id.in_(ids)).values(status=int(status)))


def test_the_tasks_of_a_key_come_in_the_order_of_their_enqueueing_or_the_newest_first_in_pages(
    application: Application, find: Find
) -> None:
    ids = publish(application, *["A1", "B1"] * 6)
    wanted = ids[::2]
    assert [task.id for task in find(key="A1")] == wanted
    for limit in (1, 2, 5, 6, 7):
        assert all_pages(find, key="A1", limit=limit) == wanted
        assert all_pages(find, key="A1", limit=limit, newest_first=True) == wanted[::-1]
    assert len(find(key="nobody")) == 0


def test_tasks_of_one_moment_are_each_in_one_page(application: Application, find: Find) -> None:
    with application.engine.begin() as connection:
        ids = application.outbox.publish_many(connection, "user.registered", [Message({}, key="A1")] * 7)
    for newest_first in (False, True):
        found = all_pages(find, key="A1", limit=2, newest_first=newest_first)
        assert sorted(found) == sorted(ids)


def test_a_stretch_of_time_begins_with_since_and_ends_before_until(application: Application, find: Find) -> None:
    ids = publish(application, *["A1"] * 5)
    times = [task.created_at for task in find(key="A1")]
    for newest_first in (False, True):
        found = all_pages(find, key="A1", since=times[1], until=times[3], newest_first=newest_first, limit=1)
        assert found == ids[1:3][:: -1 if newest_first else 1]
        assert set(all_pages(find, key="A1", since=times[3], newest_first=newest_first)) == set(ids[3:])
        assert set(all_pages(find, key="A1", until=times[3], newest_first=newest_first)) == set(ids[:3])


def test_without_a_key_tasks_are_found_by_time_type_and_status(application: Application, find: Find) -> None:
    application.outbox.message("user.gone")
    ids = sorted(publish(application, *[None] * 6))
    with application.engine.begin() as connection:
        other = application.outbox.publish(connection, "user.gone", {})
    set_status(application, ids[:2], Status.FAILED)
    hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    everything = sorted([*ids, other])
    for limit in (1, 3, 100):
        assert all_pages(find, limit=limit) == everything
        assert all_pages(find, limit=limit, newest_first=True) == everything[::-1]
        assert all_pages(find, since=hour_ago, task_type="user.registered", limit=limit) == ids
        wanted = {"since": hour_ago, "status": Status.FAILED, "newest_first": True}
        assert all_pages(find, **wanted, limit=limit) == ids[1::-1]
        assert sorted(all_pages(find, status=Status.PENDING, limit=limit)) == sorted(everything[2:])
        assert sorted(all_pages(find, task_type="user.registered", limit=limit)) == sorted(ids)
        assert all_pages(find, task_type="user.gone", status=Status.PENDING, limit=limit) == [other]
    assert all_pages(find, until=hour_ago) == []
    assert all_pages(find, since=datetime.now(timezone.utc) + timedelta(hours=1), status=Status.FAILED) == []
    assert sorted(all_pages(find, key=None, since=datetime(1, 1, 2, tzinfo=timezone.utc))) == sorted(everything)


def test_ids_lead_to_those_that_are_there_in_the_order_given(application: Application, find: Find) -> None:
    ids = publish(application, "A1", None, "B1")
    found = find(ids=[ids[2], uuid4(), str(ids[0]), ids[2]])
    assert [task.id for task in found] == [ids[2], ids[0]]
    assert (found.next, len(find(ids=[]))) == (None, 0)


def test_a_filter_that_takes_few_of_many_ends_a_page_early_and_loses_none(
    application: Application, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (key_rows, time_rows):
        monkeypatch.setattr(module, "MOST_EXAMINED", 4)
        monkeypatch.setattr(module, "_AT_ONCE", 2)
    ids = sorted(publish(application, *["A1"] * 15))
    set_status(application, [ids[0], ids[7], ids[14]], Status.FAILED)
    hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    for wanted in ({"key": "A1"}, {"since": hour_ago}):
        for newest_first in (False, True):
            more = {**wanted, "status": Status.FAILED, "newest_first": newest_first, "limit": 2}
            assert len(find(**more)) < 2
            assert all_pages(find, **more) == [ids[0], ids[7], ids[14]][:: -1 if newest_first else 1]


def test_a_task_tells_how_it_stands_what_failed_and_what_it_returned(application: Application, find: Find) -> None:
    @application.outbox.task(keep_result=True, max_retries=0)
    def price(order: int) -> timedelta:
        if order == 0:
            raise RejectTask("no such order")
        return timedelta(seconds=order)

    @application.outbox.task(keep_result=True)
    def large() -> str:
        return "ü" * 100_000

    with application.session() as session, session.begin():
        good, bad = (price.options(key="A1", headers={"tenant": "acme"}).enqueue(session, n) for n in (60, 0))
        big, later = large.enqueue(session), price.options(priority=5, delay_seconds=3600).enqueue(session, 1)
    scheduler = application.scheduler()
    scheduler.drain()
    scheduler.stop()
    done, failed, stored, waiting = find(ids=[good, bad, big, later])
    assert (done.task_type, done.key, done.status, done.attempts) == ("price", "A1", Status.SUCCESS, 1)
    assert (done.result, done.error, done.stage, done.headers) == (
        timedelta(seconds=60),
        None,
        None,
        {"tenant": "acme"},
    )
    assert (failed.status, failed.result, "no such order" in str(failed.error)) == (Status.FAILED, None, True)
    assert (stored.result, stored.max_retries) == ("ü" * 100_000, 10)
    assert (waiting.status, waiting.priority, waiting.attempts, waiting.result) == (Status.PENDING, 5, 0, None)
    assert waiting.due_at - waiting.created_at > timedelta(minutes=59)
    assert waiting.created_at.tzinfo is not None


def test_a_result_that_fits_its_annotation_no_more_is_the_trouble_of_one_task(sqlite_application: Application) -> None:
    before, after = sqlite_application, Application(sqlite_application.engine, has_tables=True)

    @before.outbox.task(keep_result=True)
    def price() -> int:
        return 60

    @before.outbox.task(keep_result=True)
    def note() -> str:
        return "é"

    with before.session() as session, session.begin():
        ids = [price.enqueue(session), note.enqueue(session)]
    before.scheduler().drain()

    @after.outbox.task("price", keep_result=True)
    def dated() -> datetime:
        return datetime.now(timezone.utc)

    with after.session() as session:
        one, other = after.outbox.find(session, ids=ids)
    assert (one.status, other.result) == (Status.SUCCESS, "é")
    with pytest.raises((ValueError, TypeError)):
        _ = one.result


def test_a_transaction_sees_what_it_has_enqueued_and_nobody_else_does(
    application: Application, find: Find, way: Way
) -> None:
    with way(application.engine) as target:
        task_id = application.outbox.publish(target, "user.registered", {}, key="A1")
        assert [task.id for task in application.outbox.find(target, key="A1")] == [task_id]
        assert [task.id for task in application.outbox.find(target, ids=[task_id])] == [task_id]
        if application.engine.dialect.name != "sqlite":
            assert len(find(key="A1")) == 0
    assert len(find(key="A1")) == 1


async def test_an_asynchronous_transaction_sees_its_own_too(
    application: Application, async_engine: AsyncEngine, async_way: AsyncWay
) -> None:
    async with async_way(async_engine) as target:
        task_id = application.outbox.publish(target, "user.registered", {}, key="A1")
        found = await application.outbox.find_async(target, key="A1", status=Status.PENDING)
        assert [task.id for task in found] == [task_id]
        with pytest.raises(WrongTargetError, match=r"await outbox\.find_async"):
            application.outbox.find(target, key="A1")
    async with AsyncSession(async_engine) as session:
        assert len(await application.outbox.find_async(session, key="A1")) == 1
        assert not session.in_transaction()


def test_without_autoflush_what_was_not_flushed_is_not_seen(application: Application) -> None:
    with Session(application.engine, autoflush=False) as session, session.begin():
        application.outbox.publish(session, "user.registered", {}, key="A1")
        assert len(application.outbox.find(session, key="A1")) == 0
        session.flush()
        assert len(application.outbox.find(session, key="A1")) == 1


def test_outside_a_transaction_none_is_left_open_and_each_look_sees_what_is_new(application: Application) -> None:
    find = application.outbox.find
    with application.session() as session, application.engine.connect() as connection:
        readers: list[Session | Connection] = [session, connection]
        for count in range(2):
            assert [len(find(reader, key="A1")) for reader in readers] == [count] * 2
            assert [reader.in_transaction() for reader in readers] == [False] * 2
            publish(application, "A1")
        with session.begin():
            assert len(find(session, key="A1")) == 2
            assert session.in_transaction()
        with connection.begin():
            assert len(find(connection, key="A1")) == 2
            assert connection.in_transaction()


def test_a_connection_in_autocommit_reads_as_well(application: Application) -> None:
    (task_id,) = publish(application, "A1")
    with application.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert [task.id for task in application.outbox.find(connection, key="A1")] == [task_id]
        assert not connection.in_transaction()


def test_what_is_refused_is_refused_before_anything_is_sent_or_flushed(application: Application) -> None:
    sent: list[str] = []

    def note(*given: Any) -> None:
        sent.append(given[2])

    with application.session() as session, session.begin():
        application.outbox.publish(session, "user.registered", {}, key="A1")
        session.add(application.User(account_no="A1"))
        event.listen(application.engine, "before_cursor_execute", note)
        for wanted in ({"status": Status.FAILED, "newest_first": True}, {"key": ""}, {"limit": 0}, {"after": "x"}):
            with pytest.raises((OptionError, ValueError)):
                application.outbox.find(session, **wanted)
        assert sent == []
        event.remove(application.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("kind", ["Engine", "str"])
def test_only_what_has_a_transaction_is_read_from(application: Application, kind: str) -> None:
    given: Any = application.engine if kind == "Engine" else "session"
    with pytest.raises(WrongTargetError, match=rf"find\(\) reads from no {kind}; give a Session or Connection"):
        application.outbox.find(given, key="A1")


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_prefix_that_has_to_be_quoted_is_quoted_in_the_hint_as_well(application: Application) -> None:
    metadata = MetaData()
    outbox = Outbox(metadata, prefix="my-app_")
    outbox.message("user.registered")
    metadata.create_all(application.engine)
    try:
        with application.engine.begin() as connection:
            task_id = outbox.publish(connection, "user.registered", {}, key="A1")
            assert [task.id for task in outbox.find(connection, key="A1")] == [task_id]
    finally:
        metadata.drop_all(application.engine)


def test_a_key_that_looks_like_another_is_another(application: Application, find: Find) -> None:
    ids = publish(application, "a1", "A1", "á1", "漢1")
    assert [[task.id for task in find(key=key)] for key in ("a1", "A1", "á1", "漢1")] == [[one] for one in ids]
    assert len(application.rows(select(application.outbox.tasks))) == 4
