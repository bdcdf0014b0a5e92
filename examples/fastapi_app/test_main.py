# test_main.py
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from asyncflow.testing import assert_enqueued, drain, rolled_back_async
from examples.fastapi_app.main import Base, app, engine, get_session, issue_coupon

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def session() -> AsyncIterator[AsyncSession]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with rolled_back_async(engine) as session:
        app.dependency_overrides[get_session] = lambda: session
        yield session
    app.dependency_overrides.clear()
    await engine.dispose()


async def test_who_registers_gets_a_coupon(session: AsyncSession) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        assert (await client.post("/users/B7")).status_code == 200
        await assert_enqueued(session, issue_coupon, account_no="B7")
        await drain(session)
        assert (await client.get("/users/B7")).json() == {"coupons": 1}


async def test_nothing_stays_of_another_test(session: AsyncSession) -> None:
    assert (await drain(session)).done == 0
