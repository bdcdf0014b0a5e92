"""The scheduler within an asynchronous application: coroutines at home, nothing blocked, one commit."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from asyncflow import AsyncScheduler, Call, Message, Outbox, Scheduler, TaskContext
from asyncflow.errors import EventLoopError, MissingExtraError, OptionError
from asyncflow.events import TaskFailed, TasksSettled
from asyncflow.scheduler.connections.sync_twin import sync_twin
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.conftest import AtHome
from tests.support.application import Application
from tests.support.left_server import LeftServer

LONG = 150.0


async def heard(application: Application, kind: Any, count: int = 1) -> None:
    """Wait, while the loop goes on, until so many tasks were settled or events seen."""

    def told() -> int:
        found = application.signals.of(kind)
        return sum(event.succeeded for event in found) if kind is TasksSettled else len(found)

    async def wait() -> None:
        while told() < count:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), LONG)


async def enqueue(application: Application, engine: AsyncEngine, name: str, *several: dict[str, Any]) -> None:
    async with AsyncSession(engine) as session, session.begin():
        for arguments in several:
            application.outbox.enqueue(session, name, **arguments)


async def names_in(application: Application, engine: AsyncEngine) -> list[str]:
    async with AsyncSession(engine) as session:
        return list(await session.scalars(select(application.User.account_no).order_by(application.User.account_no)))


async def test_a_coroutine_runs_on_the_loop_of_the_application_with_its_engine(
    application: Application, async_engine: AsyncEngine, at_home: AtHome
) -> None:
    user, loops = application.User, []

    @application.outbox.task()
    async def greet(ctx: TaskContext, account_no: str) -> None:
        loops.append(asyncio.get_running_loop())
        async with AsyncSession(async_engine) as session, session.begin():
            session.add(user(account_no=account_no))

    assert await names_in(application, async_engine) == []  # the engine has its loop
    async with at_home():
        await enqueue(application, async_engine, "greet", *({"account_no": f"A{n}"} for n in range(5)))
        await heard(application, TasksSettled, 5)
    assert await names_in(application, async_engine) == [f"A{n}" for n in range(5)]
    assert set(loops) == {asyncio.get_running_loop()}


async def test_a_function_holds_up_nothing(
    application: Application, async_engine: AsyncEngine, at_home: AtHome
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    @application.outbox.task()
    def block() -> None:
        begun.set()
        assert may_end.wait(LONG)

    @application.outbox.task()
    async def release() -> None:
        assert await asyncio.to_thread(begun.wait, LONG)
        may_end.set()  # which no loop would come to that the other held up

    async with at_home():
        await enqueue(application, async_engine, "block", {})
        await enqueue(application, async_engine, "release", {})
        await heard(application, TasksSettled, 2)


async def test_a_transactional_coroutine_commits_with_the_outcome_of_its_task(
    application: Application, async_engine: AsyncEngine, at_home: AtHome
) -> None:
    user, outbox = application.User, application.outbox
    attempts: list[int] = []

    @outbox.task(transactional=True, retry_interval_seconds=0)
    async def register(ctx: TaskContext, session: AsyncSession, account_no: str) -> None:
        session.add(user(account_no=f"{account_no}-{ctx.attempt}"))
        await session.flush()
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise LookupError("once more")
        outbox.enqueue(session, follow, account_no=account_no)
        if account_no == "B":
            await session.commit()

    @outbox.task(transactional=True)
    async def follow(session: AsyncSession, account_no: str) -> None:
        session.add(user(account_no=f"{account_no}-followed"))

    async with at_home():
        await enqueue(application, async_engine, "register", {"account_no": "A"}, {"account_no": "B"})
        await heard(application, TasksSettled, 4)
    assert await names_in(application, async_engine) == ["A-2", "A-followed", "B-2", "B-followed"]
    assert sorted(attempts) == [1, 1, 2, 2]
    assert application.statuses() == [2, 2, 2, 2]


async def test_a_transactional_coroutine_that_is_too_slow_leaves_nothing(
    application: Application, async_engine: AsyncEngine, at_home: AtHome
) -> None:
    user = application.User

    @application.outbox.task(transactional=True, max_processing_time_seconds=0.2, max_retries=0)
    async def register(session: AsyncSession) -> None:
        session.add(user(account_no="A"))
        await session.flush()
        await asyncio.sleep(LONG)

    async with at_home():
        await enqueue(application, async_engine, "register", {})
        await heard(application, TaskFailed)
    assert await names_in(application, async_engine) == []
    assert application.statuses() == [3]


async def test_what_would_commit_beside_its_task_is_refused(
    application: Application, async_engine: AsyncEngine, at_home: AtHome
) -> None:
    user = application.User

    @application.outbox.task(transactional=True, max_retries=0)
    async def register(session: AsyncSession) -> None:
        session.add(user(account_no="A"))
        await session.commit()
        session.add(user(account_no="B"))

    async with at_home():
        await enqueue(application, async_engine, "register", {})
        await heard(application, TasksSettled)
    assert await names_in(application, async_engine) == ["A"]
    assert application.statuses() == [2]


async def test_it_drains_on_the_loop(application: Application, async_engine: AsyncEngine, at_home: AtHome) -> None:
    @application.outbox.task(max_retries=0)
    async def greet(account_no: str) -> None:
        if account_no == "bad":
            raise LookupError(account_no)

    await enqueue(application, async_engine, "greet", {"account_no": "good"}, {"account_no": "bad"})
    drained = await at_home().drain()
    assert (drained.done, drained.failed) == (1, 1)
    with pytest.raises(LookupError, match="bad"):
        drained.raise_first()


async def test_idempotency_keys_work_in_an_async_session(application: Application, async_engine: AsyncEngine) -> None:
    outbox = application.outbox

    @outbox.task()
    def greet(account_no: str) -> None: ...

    async with AsyncSession(async_engine) as session, session.begin():
        first = await outbox.enqueue_async(session, greet, account_no="A", idempotency_key="k")
        again = await greet.options(idempotency_key="k").enqueue_once_async(session, account_no="A")
        assert (again.id, again.is_new) == (first, False)
        message = await outbox.publish_async(session, "user.registered", {}, idempotency_key="k")
        assert await outbox.publish_async(session, "user.registered", {}, idempotency_key="k") == message
        await greet.enqueue_async(session, "B")
        calls = [Call({"account_no": name}, idempotency_key=name) for name in ("k", "l", "l")]
        ids = await outbox.enqueue_many_async(session, greet, calls)
        assert (ids[0], ids[1]) == (first, ids[2])
        messages = [Message({}, idempotency_key=name) for name in ("k", "l")]
        assert (await outbox.publish_many_async(session, "user.registered", messages))[0] == message
    assert len(application.rows()) == 5


async def test_an_engine_that_another_loop_uses_is_refused_before_anything_runs(
    application: Application, async_engine: AsyncEngine, at_home: AtHome
) -> None:
    scheduler = at_home()
    await names_in(application, async_engine)
    answer: list[EventLoopError] = []

    def elsewhere() -> None:
        try:
            asyncio.run(scheduler.start())
        except EventLoopError as error:
            answer.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join, LONG)
    assert isinstance(answer[0], EventLoopError)
    assert "start the scheduler on the loop that uses it" in str(answer[0])
    await scheduler.stop()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("again", ["start", "drain"])
async def test_a_second_loop_is_refused_while_the_first_one_runs(at_home: AtHome, again: str) -> None:
    scheduler = at_home()
    await scheduler.start()

    def elsewhere() -> None:
        with pytest.raises(EventLoopError, match="which still runs; start and drain it there"):
            asyncio.run(getattr(scheduler, again)())

    try:
        await asyncio.to_thread(elsewhere)
    finally:
        await scheduler.stop()


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
async def test_a_transactional_coroutine_leaves_a_server_that_takes_no_writes(
    application: Application, async_engine: AsyncEngine, at_home: AtHome
) -> None:
    server, attempts = LeftServer(async_engine.sync_engine), dict[str, int]()

    @application.outbox.task(transactional=True, max_retries=5, retry_interval_seconds=0)
    async def register(ctx: TaskContext, session: AsyncSession, account_no: str) -> None:
        attempts[account_no] = ctx.attempt
        session.add(application.User(account_no=account_no))
        await session.flush()

    def register_later(account_no: str) -> None:
        with application.session() as session, session.begin():
            application.outbox.enqueue(session, register, account_no=account_no)

    async with at_home():
        await asyncio.to_thread(register_later, "A")
        await heard(application, TasksSettled, 1)
        server.leave()
        await asyncio.to_thread(register_later, "B")
        await heard(application, TasksSettled, 2)
    assert attempts == {"A": 1, "B": 2}
    assert await names_in(application, async_engine) == ["A", "B"]


@pytest.fixture
def outbox(sqlite_application: Application) -> Outbox:
    return sqlite_application.outbox


def test_a_scheduler_refuses_what_is_no_engine_of_its_kind(outbox: Outbox, sqlite_engine: Engine) -> None:
    asynchronous = create_async_engine("sqlite+aiosqlite:///app.db")
    with pytest.raises(OptionError, match=r"an AsyncEngine.*use AsyncScheduler\(engine"):
        Scheduler(asynchronous, outbox, {"kafka": MemoryPublisher()})  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"no AsyncEngine; use Scheduler\(engine"):
        AsyncScheduler(sqlite_engine, outbox, {"kafka": MemoryPublisher()})  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"engine is 'sqlite://'; give an Engine"):
        Scheduler("sqlite://", outbox, {"kafka": MemoryPublisher()})  # type: ignore[arg-type]


def test_a_transactional_coroutine_is_refused_where_no_async_engine_is(outbox: Outbox, sqlite_engine: Engine) -> None:
    @outbox.task(transactional=True)
    async def register(session: AsyncSession) -> None: ...

    scheduler = Scheduler(sqlite_engine, outbox, {"kafka": MemoryPublisher()})
    with pytest.raises(OptionError, match=r"'register' is a transactional coroutine.*AsyncScheduler"):
        scheduler.start()
    scheduler.stop()


@pytest.mark.parametrize(
    ("url", "twin"),
    [
        ("postgresql+asyncpg://u:p@h:1/d?ssl=require", "postgresql+psycopg://u:p@h:1/d?sslmode=require"),
        ("postgresql+asyncpg://u:p@h/d?prepared_statement_cache_size=0", "postgresql+psycopg://u:p@h/d"),
        ("postgresql+psycopg://u:p@h/d?sslmode=disable", "postgresql+psycopg://u:p@h/d?sslmode=disable"),
        ("mysql+asyncmy://u:p@h/d?charset=utf8mb4", "mysql+pymysql://u:p@h/d?charset=utf8mb4"),
        ("sqlite+aiosqlite:///app.db", "sqlite+pysqlite:///app.db"),
    ],
)
def test_the_scheduler_makes_a_synchronous_engine_from_the_same_url(url: str, twin: str) -> None:
    made = sync_twin(create_async_engine(url))
    assert made.url.render_as_string(hide_password=False) == twin
    made.dispose()


@pytest.mark.parametrize(
    ("url", "error", "told"),
    [
        ("postgresql+asyncpg://u:p@h/d?command_timeout=3", OptionError, "command_timeout= is known to asyncpg alone"),
        ("sqlite+aiosqlite://", OptionError, "is in memory"),
        ("sqlite+aiosqlite:///:memory:", OptionError, "is in memory"),
    ],
)
def test_what_cannot_be_derived_is_refused_with_the_remedy(url: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        sync_twin(create_async_engine(url))


def test_a_synchronous_driver_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    asynchronous = create_async_engine("mysql+asyncmy://u:p@h/d")

    def missing(*_: object, **__: object) -> Engine:
        raise ModuleNotFoundError("No module named 'pymysql'", name="pymysql")

    monkeypatch.setattr("asyncflow.scheduler.connections.sync_twin.create_engine", missing)
    with pytest.raises(MissingExtraError, match=r'pymysql.*pip install "asyncflow-outbox\[mysql\]".*sync_engine='):
        sync_twin(asynchronous)


async def test_a_synchronous_engine_can_be_given(sqlite_application: Application) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{sqlite_application.engine.url.database}")
    own = create_engine(sqlite_application.engine.url)
    scheduler = AsyncScheduler(engine, sqlite_application.outbox, {"kafka": MemoryPublisher()}, sync_engine=own)
    assert scheduler.scheduler.engine is own
    async with scheduler:
        pass
    await engine.dispose()
    own.dispose()
