"""The page of least privileges: each part does all its work with just what the page grants it."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, Engine, create_engine, select, text

from asyncflow import Inbox, Outbox, Scheduler, Status, cli
from asyncflow.events import StepFailed
from asyncflow.integrations.flowsvr import ServiceSettings, Tokens, make_app
from asyncflow.testing import MemoryPublisher
from tests.support.databases import fresh_database
from tests.unit.scheduler.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "grants.md"
PASSWORD = "a-password-for-tests"
_numbers = itertools.count(1)
GrantTo = Callable[[str], URL]


def grants_of(part: str) -> dict[str, str]:
    """Return the privileges of a part on each table, from the page."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if "|" in line
    ]
    column = rows[0].index(part)
    return {row[0].strip("`"): row[column] for row in rows[2:] if row[column]}


@pytest.fixture(params=["mariadb", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    with fresh_database(request.param, tmp_path) as url:
        assert cli.main(["init-db", "--database-url", url.render_as_string(hide_password=False)]) == 0
        yield url


@pytest.fixture
def grant_to(database: URL) -> Iterator[GrantTo]:
    """Make a user with the privileges of a part and no others; return the database's URL in its name."""
    owner = create_engine(database, isolation_level="AUTOCOMMIT")
    is_mysql = database.get_backend_name() == "mysql"
    users: list[str] = []

    def grant(part: str) -> URL:
        name = f"af_{os.getpid()}_{next(_numbers)}"
        users.append(name)
        user = f"'{name}'@'%'" if is_mysql else name
        with owner.connect() as connection:
            how = "IDENTIFIED BY" if is_mysql else "PASSWORD"
            connection.execute(text(f"CREATE USER {user} {how} '{PASSWORD}'"))
            for table, privileges in grants_of(part).items():
                connection.execute(text(f"GRANT {privileges} ON {table} TO {user}"))
            if not is_mysql and "INSERT" in grants_of(part).get("asyncflow_turn", ""):
                connection.execute(text(f"GRANT UPDATE ON SEQUENCE asyncflow_turn_number_seq TO {user}"))
        return database.set(username=name, password=PASSWORD)

    yield grant
    with owner.connect() as connection:
        for name in users:
            if not is_mysql:
                connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP USER '{name}'@'%'" if is_mysql else f"DROP USER {name}"))
    owner.dispose()


class Shop:
    """Have each kind of task in an outbox of its own, and an inbox."""

    def __init__(self, url: URL) -> None:
        from sqlalchemy import MetaData

        self.engine: Engine = create_engine(url)
        metadata = MetaData()
        self.outbox, self.inbox = Outbox(metadata), Inbox(metadata)
        self.outbox.message("order.paid", ordered=True)
        self.outbox.message("order.seen")
        self.done: list[int] = []

        @self.outbox.task(max_retries=0)
        def mail(ctx: Any, n: int) -> None:
            ctx.checkpoint(stage="sent", context="x" * 100_000)
            if n == 1:
                raise ValueError("no such address")
            self.done.append(n)

        self.mail = mail
        self.outbox.periodic(mail, "0 0 1 1 *", arguments={"n": 9})


class Failures:
    """Collect what a scheduler's loops could not do."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, event: Any) -> None:
        if isinstance(event, StepFailed):
            self.seen.append(f"{event.loop}: {event.error}")


def write(url: URL) -> None:
    shop = Shop(url)
    for key in (None, "k"):
        for _ in range(2):
            with shop.engine.begin() as connection:
                shop.outbox.publish(connection, "order.seen", {"n": 1}, idempotency_key=key)
                shop.outbox.publish(connection, "order.paid", {"n": 1}, key="A1")
    with shop.engine.begin() as connection:
        for n in range(3):
            shop.outbox.enqueue(connection, shop.mail, n=n)
        assert shop.inbox.process_once(connection, "m1", consumer="mails")
    shop.engine.dispose()


def run(url: URL) -> None:
    """Let a scheduler do all that was written, and clean up behind itself."""
    shop, failures = Shop(url), Failures()
    scheduler = Scheduler(
        shop.engine,
        shop.outbox,
        {"kafka": MemoryPublisher()},
        hooks=[failures],
        success_retention_seconds=0.1,
        dedupe_retention_seconds=0.1,
        audit_retention_seconds=0.1,
        cleaning_interval_seconds=0.2,
        heartbeat_seconds=0.5,
        lease_seconds=2.0,
    )
    tasks = shop.outbox.tasks

    def is_done() -> bool:
        with shop.engine.connect() as connection:
            return set(connection.execute(select(tasks.c.status)).scalars()) == {int(Status.FAILED)}

    with scheduler:
        eventually(lambda: failures.seen or is_done())
    assert failures.seen == []
    assert sorted(shop.done) == [0, 2]
    shop.engine.dispose()


def test_a_writer_and_a_scheduler_do_their_work_with_what_the_page_grants(grant_to: GrantTo) -> None:
    write(grant_to("writer"))
    run(grant_to("scheduler"))


async def test_a_service_does_its_work_with_what_the_page_grants(grant_to: GrantTo) -> None:
    shop = Shop(grant_to("service"))
    app = make_app(shop.engine, shop.outbox, Tokens.none(), ServiceSettings(on_success="delete"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:

        async def ask(method: str, path: str, body: Any = None) -> Any:
            reply = await client.request(method, path, json=body)
            assert reply.status_code < 300, (path, reply.text)
            return reply.json()

        await ask("GET", "/readyz")
        for key in ("a", "b", "c", "a"):
            await ask("POST", "/v2/tasks", {"task_type": "mail", "arguments": {"n": 0}, "idempotency_key": key})
        held = (await ask("POST", "/v2/tasks/hold", {"worker": "w", "limits": {"mail": 9}}))["tasks"]
        assert len(held) == 3
        claims = [{"id": task["id"], "token": task["token"]} for task in held]
        await ask("POST", "/v2/tasks/renew", {"claims": claims})
        body = {"token": held[0]["token"], "stage": "s", "context": "x" * 100_000}
        await ask("PUT", f"/v2/tasks/{held[0]['id']}/checkpoint", body)
        outcomes = ["success", "failed", "retry"]
        await ask(
            "POST",
            "/v2/tasks/set",
            {"outcomes": [{**claim, "outcome": outcome} for claim, outcome in zip(claims, outcomes, strict=True)]},
        )
        for path in ("/v2/tasks", "/v2/counts", "/v2/task-types", "/v2/configuration", "/v2/dead-letters"):
            await ask("GET", path)
        await ask("PUT", "/v2/task-types/sms", {"max_retries": 1})
        await ask("DELETE", "/v2/configuration/sms")
        for verb in ("replay", "cancel", "discard"):
            await ask("POST", f"/v2/dead-letters/{verb}", {"everything": True})
    app.state.service._monitor.step()
    await app.state.service.stop()
    shop.engine.dispose()


def test_an_operator_does_his_work_with_what_the_page_grants(
    database: URL, grant_to: GrantTo, capsys: pytest.CaptureFixture[str]
) -> None:
    write(database)
    run(database)
    capsys.readouterr()
    url = grant_to("operator").render_as_string(hide_password=False)

    def command(*words: str) -> str:
        assert cli.main([*words, "--database-url", url]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    assert "mail" in command("status")
    found = re.search(r"[0-9a-f-]{36}", command("dead-letters", "list"))
    assert found
    command("dead-letters", "show", "--id", found[0])
    command("dead-letters", "replay", "--all", "--yes")
    command("dead-letters", "cancel", "--all", "--yes")
    command("dead-letters", "discard", "--all", "--yes")
    command("config", "set", "--type", "mail", "--register", "--option", "max_retries=3")
    command("config", "list")
    command("audit")
