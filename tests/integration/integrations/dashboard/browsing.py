"""A browser without a screen: requests as one sends them, to a dashboard in this process."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
from sqlalchemy import insert, select, update

from asyncflow import Message, Outbox, Status
from asyncflow.integrations.dashboard import Dashboard, Person, Role
from asyncflow.outbox.clock import database_now
from asyncflow.outbox.ids import new_id
from asyncflow.scheduler.charts.hour import ALL_TYPES
from tests.support.application import Application

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
ERROR = "2026-01-02T03:04:05Z KeyError: 'amount_{number}' [coupon.py:7 in issue]\n"


def browser(app: Any, *, root: str = "", host: str = "localhost", address: str = "127.0.0.1") -> httpx.AsyncClient:
    """Return a client that keeps cookies and follows no redirects."""
    transport = httpx.ASGITransport(app=app, client=(address, 50_000), root_path=root)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}{root}", headers={"Accept-Language": "en"})


def dashboard_for(application: Application, role: Role | str = Role.ADMIN, name: str = "maria") -> Dashboard:
    """Return a dashboard at which everybody is one person."""
    return Dashboard(application.engine, application.outbox, users=lambda _: Person(name, Role(role)))


def dead_letters(
    application: Application, count: int, *, task_type: str = "user.registered", log: str = ERROR, **message: Any
) -> list[UUID]:
    """Write tasks that have failed within the last minute, each with an error of one fingerprint."""
    outbox: Outbox = application.outbox
    given = {"payload": {"account_no": "A1", "password": "hunter2"}, **message}
    with application.session() as session, session.begin():
        ids = outbox.publish_many(session, task_type, [Message(**given) for _ in range(count)])
    tasks = outbox.tasks
    with application.engine.begin() as connection:
        for number, task_id in enumerate(ids):
            values = {
                "status": int(Status.FAILED),
                "retry_count": 3,
                "order_time": timedelta(seconds=-1 - number / 100),
            }
            connection.execute(
                update(tasks).where(tasks.c.id == task_id).values(**values, schedule_log=log.format(number=number))
            )
    return ids


def counted(application: Application, task_type: str, *, ahead: int = 0, **minutes: Sequence[int]) -> None:
    """Write what a process would have counted, each outcome minute by minute, the last ``ahead`` minutes after this."""
    row = select(database_now())
    with application.engine.begin() as connection:
        now = connection.execute(row).scalar_one()
        moment = int(now.timestamp()) // 60 + ahead
        hours: dict[int, dict[str, list[int]]] = {}
        for outcome, counts in minutes.items():
            for minute, count in enumerate(counts, moment - len(counts) + 1):
                its = hours.setdefault(minute // 60, {}).setdefault(outcome, [0] * 60)
                its[minute % 60] += count
        rows = [
            {
                "hour": hour,
                "task_type": name,
                "writer": new_id(),
                "total": sum(map(sum, its.values())),
                "counts": orjson.dumps(its).decode(),
            }
            for hour, its in hours.items()
            for name in (task_type, ALL_TYPES)
        ]
        connection.execute(insert(application.outbox.charts), rows)


async def send(client: httpx.AsyncClient, path: str, fields: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """Send a form from a page of the dashboard."""
    return await client.post(path, data=dict(fields or {"reason": ""}), headers={**OWN_PAGE, **more})


def text_of(answer: httpx.Response) -> str:
    """Return the words of a page, as a person reads them."""
    body = re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", answer.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def links_in(answer: httpx.Response) -> Sequence[str]:
    return [html.unescape(one) for one in re.findall(r'(?:href|action|formaction|src)="([^"]*)"', answer.text)]


def fingerprint_in(answer: httpx.Response) -> str:
    found = re.search(r"letters/([0-9a-f]{12})", answer.text)
    assert found, answer.text
    return found[1]
