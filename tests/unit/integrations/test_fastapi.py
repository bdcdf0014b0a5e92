"""FastAPI: what is answered has committed, and the scheduler lives as long as the application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastapi
import pytest
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import Engine, ForeignKey, MetaData, Table, create_engine, event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from asyncflow import AsyncScheduler, Outbox, Scheduler
from asyncflow.errors import LibraryTooOldError, OptionError, SchedulerStoppedError
from asyncflow.integrations import fastapi as ours
from asyncflow.integrations.fastapi import SessionOutbox, before_response, lifespan, session_outbox, transaction


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    friend: Mapped[int | None] = mapped_column(ForeignKey("users.id", deferrable=True, initially="DEFERRED"))


outbox = Outbox(Base.metadata)


@outbox.task()
def greet(number: int) -> None:
    """Do nothing."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}?timeout=60")
    Base.metadata.create_all(engine)
    engine.dispose()
    return tmp_path / "shop.db"


def check_foreign_keys(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def sync_engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}?timeout=60")
    event.listen(engine, "connect", check_foreign_keys)
    return engine


def async_engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}?timeout=60")
    event.listen(engine.sync_engine, "connect", check_foreign_keys)
    return engine


SOURCES: dict[str, Callable[[Path], Any]] = {
    "engine": sync_engine,
    "sessionmaker": lambda path: sessionmaker(sync_engine(path)),
    "async engine": async_engine,
    "async sessionmaker": lambda path: async_sessionmaker(async_engine(path)),
}


def application(dependency: Any) -> FastAPI:
    app = FastAPI()

    @app.post("/users/{number}")
    async def register(number: int, friend: int | None = None, session: Any = dependency) -> dict[str, int]:
        session.add(User(id=number, friend=friend))
        greet.enqueue(session, number=number)
        if number == 400:
            raise HTTPException(400)
        return {"number": number}

    return app


async def post(app: FastAPI, url: str, engine: Engine) -> tuple[int, int]:
    """Return the status, and how many tasks others saw when the answer began to be sent."""
    seen: list[tuple[int, int]] = []
    target, _, query = url.partition("?")
    scope = {
        "type": "http", "method": "POST", "path": target, "raw_path": target.encode(), "query_string": query.encode(),
        "headers": [], "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            with engine.connect() as connection:
                count = connection.scalar(select(func.count()).select_from(outbox.tasks)) or 0
            seen.append((message["status"], count))

    try:
        await app(scope, receive, send)
    except Exception:  # noqa: BLE001 - what a server would log
        assert seen  # it was answered before
    ((status, count),) = seen
    return status, count


@pytest.fixture(params=SOURCES)
def registering(request: pytest.FixtureRequest, path: Path) -> Any:
    return application(before_response(transaction(SOURCES[request.param](path))))


async def test_what_is_answered_has_committed(registering: FastAPI, path: Path) -> None:
    assert await post(registering, "/users/1", sync_engine(path)) == (200, 1)


async def test_a_commit_that_fails_is_no_success_to_the_client(registering: FastAPI, path: Path) -> None:
    assert await post(registering, "/users/2?friend=77", sync_engine(path)) == (500, 0)


async def test_a_request_that_fails_leaves_nothing(registering: FastAPI, path: Path) -> None:
    assert await post(registering, "/users/400", sync_engine(path)) == (400, 0)


@pytest.mark.skipif(not ours._KNOWS_SCOPES, reason="before 0.118 FastAPI ended dependencies before the answer")
async def test_a_dependency_of_fastapi_s_own_commits_too_late(path: Path) -> None:
    app = application(Depends(transaction(async_engine(path))))
    assert await post(app, "/users/2?friend=77", sync_engine(path)) == (200, 0)


@pytest.mark.parametrize("version", ["0.118.0", "0.119.1", "0.120.4"])
def test_a_fastapi_that_knows_no_other_way_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(ours, "_KNOWS_SCOPES", False)
    monkeypatch.setattr(fastapi, "__version__", version)
    with pytest.raises(LibraryTooOldError, match=version):
        before_response(lambda: None)


def test_what_gives_no_session_is_refused() -> None:
    with pytest.raises(OptionError, match="none of Engine"):
        transaction(MetaData())  # type: ignore[arg-type]


# -- the outbox of a request's session ---------------------------------------------------------------------


@pytest.fixture(params=SOURCES)
def bound_application(request: pytest.FixtureRequest, path: Path) -> FastAPI:
    """Give an application whose route takes the session and the outbox that is bound to it."""
    app = FastAPI()
    in_transaction = transaction(SOURCES[request.param](path))
    its_outbox, its_session = Depends(session_outbox(outbox, in_transaction)), before_response(in_transaction)

    @app.post("/users/{number}")
    async def register(
        number: int,
        friend: int | None = None,
        session: Any = its_session,
        bound: Any = its_outbox,
    ) -> dict[str, bool]:
        session.add(User(id=number, friend=friend))
        bound.enqueue(greet, number=number)
        if number == 400:
            raise HTTPException(400)
        return {"is_the_same": bound.session is session}

    return app


async def test_what_a_bound_outbox_writes_has_committed_when_it_is_answered(
    bound_application: FastAPI, path: Path
) -> None:
    assert await post(bound_application, "/users/1", sync_engine(path)) == (200, 1)


@pytest.mark.parametrize(("url", "status"), [("/users/2?friend=77", 500), ("/users/400", 400)])
async def test_what_a_bound_outbox_writes_is_gone_with_the_routes_own_rows(
    bound_application: FastAPI, path: Path, url: str, status: int
) -> None:
    assert await post(bound_application, url, sync_engine(path)) == (status, 0)


async def test_a_test_that_overrides_the_session_has_overridden_the_bound_outbox(path: Path) -> None:
    app, in_transaction = FastAPI(), transaction(async_engine(path))
    its_outbox = Depends(session_outbox(outbox, in_transaction))
    seen: list[Any] = []

    @app.post("/")
    async def register(bound: Any = its_outbox) -> None:
        seen.append(bound.session)

    app.dependency_overrides[in_transaction] = lambda: "the test's own"
    assert await post(app, "/", sync_engine(path)) == (200, 0)
    assert seen == ["the test's own"]


@pytest.mark.parametrize("name", [name for name in vars(SessionOutbox(outbox, None)) if name != "session"])
def test_each_method_of_a_bound_outbox_is_the_outboxs_own_in_that_session(name: str) -> None:
    method = getattr(SessionOutbox(outbox, "the session"), name)
    assert (method.func, method.args, method.keywords) == (getattr(outbox, name), ("the session",), {})


# -- the lifespan --------------------------------------------------------------------------------------------


def make_scheduler(kind: str, path: Path) -> AsyncScheduler | Scheduler:
    if kind == "async":
        return AsyncScheduler(async_engine(path), outbox, publishers={})
    return Scheduler(sync_engine(path), outbox, publishers={})


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_the_scheduler_runs_within_the_application_s_own_lifespan(path: Path, kind: str) -> None:
    steps: list[str] = []
    made: list[Any] = []

    def make() -> Any:
        made.append(make_scheduler(kind, path))
        steps.append("made")
        return made[-1]

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        steps.append("entered")
        yield {"shop": "open"}
        steps.append("ended" if blocking(made[-1]).wait(0) else "still runs")

    app = FastAPI(lifespan=lifespan(make, own))
    for _ in range(2):  # an application is started again by the next test
        async with app.router.lifespan_context(app) as state:
            assert dict(state or {})["shop"] == "open"
            assert not blocking(made[-1]).wait(0)
    assert steps == ["entered", "made", "ended"] * 2


def blocking(scheduler: Any) -> Scheduler:
    return scheduler.scheduler if isinstance(scheduler, AsyncScheduler) else scheduler


async def test_a_scheduler_itself_serves_one_start(path: Path) -> None:
    app = FastAPI(lifespan=lifespan(make_scheduler("sync", path)))
    async with app.router.lifespan_context(app):
        pass
    with pytest.raises(SchedulerStoppedError):
        async with app.router.lifespan_context(app):
            pass


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_start_that_fails_fails_the_application_and_ends_its_lifespan(tmp_path: Path, kind: str) -> None:
    ended: list[bool] = []

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            ended.append(True)

    app = FastAPI(lifespan=lifespan(lambda: make_scheduler(kind, tmp_path / "empty.db"), own))
    with pytest.raises(Exception, match="asyncflow_task"):
        async with app.router.lifespan_context(app):
            pass
    assert ended == [True]
    assert isinstance(outbox.tasks, Table)
