"""How many browsers are open is nothing to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event

from asyncflow.integrations.dashboard import Dashboard, DashboardSettings, Person
from tests.integration.integrations.dashboard.browsing import browser, dead_letters
from tests.support.application import Application

PATHS = ("/", "/letters", "/types", "/instances", "/keys", "/jobs", "/periodic", "/audit", "/search", "/charts")


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Count the statements within."""
    seen: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if "asyncflow_" in statement:  # and not what a new connection begins with
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_fifty_browsers_cost_the_statements_of_one(sqlite_application: Application) -> None:
    dead_letters(sqlite_application, 3)
    counts = []
    for clients in (1, 50):
        # A time longer than the test takes: within one such time each page is looked at once.
        app = Dashboard(
            sqlite_application.engine,
            sqlite_application.outbox,
            users=lambda _: Person("li"),
            settings=DashboardSettings(look_seconds=600.0),
        )
        with statements(sqlite_application.engine) as seen:
            async with browser(app) as client:
                for path in PATHS:
                    answers = await asyncio.gather(
                        *(client.get(path, headers={"X-Asyncflow-Fragment": "1"}) for _ in range(clients))
                    )
                    assert {one.status_code for one in answers} == {200}
        counts.append(len(seen))
    assert counts[0] == counts[1] > 0
