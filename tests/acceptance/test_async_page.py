"""The page about asynchronous applications holds what it says: its application runs as it is printed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from tests.support.snippets import snippets

LONG = 120.0


async def greeted(names: dict[str, Any]) -> Any:
    """Register somebody, and return the row when the tasks behind it are done."""
    app, user = names["app"], names["User"]
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):
        assert (await client.post("/users/A1001")).json() == {"account_no": "A1001"}

        async def wait() -> Any:
            while True:
                async with AsyncSession(names["engine"]) as session:
                    row = await session.get_one(user, "A1001")
                if row.is_greeted:
                    return row
                await asyncio.sleep(0.02)

        return await asyncio.wait_for(wait(), LONG)


async def test_the_application_registers_issues_and_greets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (program,) = snippets("docs/async.md")
    names: dict[str, Any] = {"__name__": "main"}
    exec(program, names)
    row = await greeted(names)
    assert (row.coupons, row.is_greeted) == (1, True)
