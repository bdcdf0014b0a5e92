"""Two hundred requests while coroutine handlers use the application's own engine: what was answered 200 is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from asyncflow.events import TasksSettled
from tests.integration.scheduler.conftest import AtHome
from tests.integration.scheduler.test_async_scheduler import heard
from tests.support.application import Application

REQUESTS, AT_ONCE = 200, 20


def shop(application: Application, engine: AsyncEngine, at_home: AtHome) -> FastAPI:
    """Make an application that writes a row and a task for each request, with the scheduler in its lifespan."""
    user, outbox = application.User, application.outbox

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with at_home():
            yield
            await heard(application, TasksSettled, REQUESTS)

    @outbox.task(concurrency=5)
    async def greet(account_no: str) -> None:
        async with AsyncSession(engine) as session, session.begin():
            (await session.get_one(user, account_no)).name = "greeted"
            await asyncio.sleep(0)

    app = FastAPI(lifespan=lifespan)

    @app.post("/users/{account_no}")
    async def register(account_no: str) -> dict[str, str]:
        async with AsyncSession(engine) as session, session.begin():
            session.add(user(account_no=account_no, name="new"))
            greet.enqueue(session, account_no=account_no)
        return {"account_no": account_no}

    return app


async def test_every_row_that_was_answered_200_is_there(
    application: Application, async_engine: AsyncEngine, at_home: AtHome
) -> None:
    app = shop(application, async_engine, at_home)
    answered: list[str] = []
    free = asyncio.Semaphore(AT_ONCE)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):

        async def ask(number: int) -> None:
            async with free:
                answer = await client.post(f"/users/A{number:03}")
            if answer.status_code == 200:
                answered.append(answer.json()["account_no"])

        await asyncio.gather(*(ask(number) for number in range(REQUESTS)))
    user = application.User
    with application.engine.connect() as connection:
        rows = {row.account_no: row.name for row in connection.execute(select(user.account_no, user.name))}
    assert len(answered) == REQUESTS
    assert rows == dict.fromkeys(answered, "greeted")
