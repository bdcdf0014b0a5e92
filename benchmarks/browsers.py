"""Browsers without a screen: each asks a dashboard in this process, as the page's own script does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import event

from asyncflow.integrations.dashboard import Dashboard, DashboardSettings, Person, Role
from benchmarks.ground import Ground

_EVERY_SECONDS = 2.0  # as the pages ask
_FRAGMENT = {"X-Asyncflow-Fragment": "1", "Accept-Language": "en"}


def dashboard_on(ground: Ground, **settings: Any) -> Dashboard:
    """Return a dashboard at which everybody is one admin."""
    chosen = DashboardSettings(**settings)
    return Dashboard(ground.engine, ground.outbox, users=lambda _: Person("bench", Role.ADMIN), settings=chosen)


def client_of(dashboard: Dashboard) -> httpx.AsyncClient:
    """Return what asks it."""
    transport = httpx.ASGITransport(app=dashboard, client=("127.0.0.1", 50_000))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=120)


class Browser:
    """Look at pages one by one, each time afresh; used by one thread."""

    def __init__(self, ground: Ground) -> None:
        self._dashboard = dashboard_on(ground)

    def fetch(self, path: str) -> str:
        """Return a page; raises RuntimeError if it is refused."""
        return asyncio.run(self._fetch(path))

    async def _fetch(self, path: str) -> str:
        # Nobody else asks: what was kept is of no use here.
        self._dashboard._answers._glances.forget()
        self._dashboard._answers._desk.kept.forget_all()
        async with client_of(self._dashboard) as client:
            answer = await client.get(f"/{path}", headers={"Accept-Language": "en"})
        if answer.status_code != 200:
            raise RuntimeError(f"the page {path} was answered with {answer.status_code}: {answer.text[-500:]}")
        return answer.text


@contextmanager
def standing_open(ground: Ground) -> Iterator[None]:
    """Keep a dashboard with one browser on its first page; raises what the page did, at the end."""
    ended = threading.Event()

    async def stand() -> None:
        async with client_of(dashboard_on(ground)) as client:
            while not ended.is_set():
                (await client.get("/", headers=_FRAGMENT)).raise_for_status()
                await asyncio.to_thread(ended.wait, _EVERY_SECONDS)

    with ThreadPoolExecutor(1) as thread:
        standing = thread.submit(asyncio.run, stand())
        try:
            yield
        finally:
            ended.set()
    standing.result()


def statements_a_second(ground: Ground, browsers: int, seconds: float) -> float:
    """Let so many browsers stand open on the first page; return how many statements that takes."""
    with _counted(ground) as counts:
        asyncio.run(_stand_open(dashboard_on(ground), browsers, seconds))
    return len(counts) / seconds


async def _stand_open(dashboard: Dashboard, browsers: int, seconds: float) -> None:
    async with client_of(dashboard) as client:
        with_pauses = (_ask(client, number * _EVERY_SECONDS / browsers, seconds) for number in range(browsers))
        await asyncio.gather(*with_pauses)


async def _ask(client: httpx.AsyncClient, first: float, seconds: float) -> None:
    """Ask again and again, from ``first`` seconds on: people do not open their pages at one moment."""
    end = asyncio.get_running_loop().time() + seconds
    await asyncio.sleep(min(first, seconds))
    while asyncio.get_running_loop().time() < end:
        (await client.get("/", headers=_FRAGMENT)).raise_for_status()
        await asyncio.sleep(_EVERY_SECONDS)


@contextmanager
def _counted(ground: Ground) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        sent.append(statement)

    event.listen(ground.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(ground.engine, "before_cursor_execute", note)
