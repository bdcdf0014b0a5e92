"""The page of least privileges: each part does all its work with just what the page grants it."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import URL, Engine, MetaData, create_engine, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from asyncflow import AsyncScheduler, Done, Inbox, Outbox, RollOver, Scheduler, SimpleJob, Status, cli
from asyncflow.events import RollOverHeldUp, StepFailed
from asyncflow.integrations.dashboard import Dashboard, Person, Role
from asyncflow.integrations.flowsvr import ServiceSettings, Tokens, make_app
from asyncflow.integrations.flowsvr.client import ServiceWorker
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.kafka.consuming import consumer as consuming
from asyncflow.integrations.kafka.consuming.received import Partition, Received
from asyncflow.integrations.prometheus import OutboxCollector
from asyncflow.scheduler.cluster.resharding.reshard import reshard
from asyncflow.scheduler.notices import Notice, Notifier, NotifierSettings
from asyncflow.scheduler.upkeep.rolling import keeper
from asyncflow.testing import MemoryPublisher, Signals, advance, assert_enqueued, drain, rolled_back
from tests.integration.integrations.dashboard.browsing import browser, send, text_of
from tests.integration.integrations.dashboard.test_attacks import DEEDS, NOBODY, PAGES
from tests.integration.integrations.flowsvr.conftest import SECRETS
from tests.integration.integrations.flowsvr.test_workers import serving
from tests.support.databases import fresh_database
from tests.unit.integrations.kafka.test_consumer import ScriptedBroker
from tests.unit.scheduler.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "grants.md"
PASSWORD = "a-password-for-tests"
_numbers = itertools.count(1)
GrantTo = Callable[..., URL]


def grants_of(part: str) -> dict[str, str]:
    """Return the privileges of a part on each table, from the page."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if "|" in line
    ]
    column = rows[0].index(part)
    return {row[0].strip("`"): row[column] for row in rows[2:] if row[column]}


# What the page grants beside, to who tells outcomes and to who enqueues with unique keys.
TELLING = {table: grants_of("writer")[table] for table in ("asyncflow_task", "asyncflow_turn")}
UNIQUE = {"asyncflow_task": "SELECT, UPDATE"}


@pytest.fixture(params=["mariadb", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    with fresh_database(request.param, tmp_path) as url:
        assert cli.main(["init-db", "--database-url", url.render_as_string(hide_password=False)]) == 0
        yield url


@pytest.fixture
def grant_to(database: URL) -> Iterator[GrantTo]:
    """Make a user with the privileges of a part, those ``beside``, and no others; return the URL in its name."""
    owner = create_engine(database, isolation_level="AUTOCOMMIT")
    is_mysql = database.get_backend_name() == "mysql"
    users: list[str] = []

    def grant(part: str, beside: Mapping[str, str] | None = None) -> URL:
        name = f"af_{os.getpid()}_{next(_numbers)}"
        users.append(name)
        user = f"'{name}'@'%'" if is_mysql else name
        with owner.connect() as connection:
            how = "IDENTIFIED BY" if is_mysql else "PASSWORD"
            connection.execute(text(f"CREATE USER {user} {how} '{PASSWORD}'"))
            granted = [*grants_of(part).items(), *(beside or {}).items()]
            for table, privileges in granted:
                connection.execute(text(f"GRANT {privileges} ON {table} TO {user}"))
            if not is_mysql and any(table == "asyncflow_turn" and "INSERT" in its for table, its in granted):
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

    def __init__(self, url: URL, **options: Any) -> None:
        self.engine: Engine = create_engine(url)
        metadata = MetaData()
        self.outbox, self.inbox = Outbox(metadata, **options), Inbox(metadata)
        self.outbox.message("order.paid", ordered=True)
        self.outbox.message("order.seen")
        self.done: list[int] = []

        @self.outbox.task(max_retries=0, keep_result=True)
        def mail(ctx: Any, n: int) -> int:
            ctx.checkpoint(stage="sent", context="x" * 100_000)
            if n == 1:
                raise ValueError("no such address")
            self.done.append(n)
            return n

        self.mail = mail
        self.outbox.periodic(mail, "0 0 1 1 *", arguments={"n": 9})


class Told:
    """Be a channel that keeps notices."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def send(self, notice: Notice) -> None:
        self.notices.append(notice)


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
    assert shop.inbox.clean(shop.engine) == 0
    shop.engine.dispose()


KEPT_BRIEFLY: dict[str, Any] = {
    "success_retention_seconds": 0.1,
    "dedupe_retention_seconds": 0.1,
    "audit_retention_seconds": 0.1,
    "inbox_retention_seconds": 0.1,
    "cleaning_interval_seconds": 0.2,
    "heartbeat_seconds": 0.5,
    "lease_seconds": 60.0,
}


def is_cleaned(shop: Shop) -> bool:
    with shop.engine.connect() as connection:
        remembered = connection.execute(select(shop.inbox.entries.c.message_id)).all()
        statuses = set(connection.execute(select(shop.outbox.tasks.c.status)).scalars())
        return not remembered and statuses == {int(Status.FAILED)}


def run(url: URL) -> None:
    """Let a scheduler do all that was written, and clean up behind itself."""
    shop, failures = Shop(url), Failures()
    job = SimpleJob("sweep", lambda context: None, cron="0 0 1 1 *")
    kafka = {"kafka": MemoryPublisher()}
    scheduler = Scheduler(shop.engine, shop.outbox, kafka, jobs=[job], hooks=[failures], **KEPT_BRIEFLY)
    with scheduler:
        eventually(lambda: failures.seen or is_cleaned(shop))
    assert failures.seen == []
    assert sorted(shop.done) == [0, 2]
    shop.engine.dispose()


def test_a_writer_and_a_scheduler_do_their_work_with_what_the_page_grants(grant_to: GrantTo) -> None:
    write(grant_to("writer"))
    url = grant_to("scheduler")
    run(url)
    other = Shop(url, shard_count=16)
    assert reshard(other.engine, other.outbox) >= 0
    other.engine.dispose()


async def test_an_asynchronous_scheduler_does_its_work_with_what_the_page_grants_a_scheduler(grant_to: GrantTo) -> None:
    await asyncio.to_thread(write, grant_to("writer"))
    url = grant_to("scheduler")
    driver = {"mysql": "mysql+asyncmy", "postgresql": "postgresql+asyncpg"}[url.get_backend_name()]
    engine, shop, failures = create_async_engine(url.set(drivername=driver)), Shop(url), Failures()

    @shop.outbox.task()
    async def greet() -> None: ...

    kafka = {"kafka": MemoryPublisher()}
    async with AsyncScheduler(engine, shop.outbox, kafka, hooks=[failures], **KEPT_BRIEFLY):
        await asyncio.to_thread(eventually, lambda: failures.seen or is_cleaned(shop))
    assert failures.seen == []
    await engine.dispose()
    shop.engine.dispose()


def settle(shop: Shop, publisher: MemoryPublisher, is_done: Callable[[], bool]) -> None:
    """Let a scheduler work until that is so."""
    failures = Failures()
    with Scheduler(shop.engine, shop.outbox, {"kafka": publisher}, hooks=[failures], **KEPT_BRIEFLY):
        eventually(lambda: failures.seen or is_done())
    assert failures.seen == []


def statuses(shop: Shop, task_type: str) -> list[int]:
    t = shop.outbox.tasks.c
    with shop.engine.connect() as connection:
        return list(connection.execute(select(t.status).where(t.task_type == task_type).order_by(t.id)).scalars())


def test_a_scheduler_tells_outcomes_with_what_the_page_grants(grant_to: GrantTo) -> None:
    writer = Shop(grant_to("writer"), outcomes_to="order.paid")
    with writer.engine.begin() as connection:
        for n in range(2):
            writer.outbox.enqueue(connection, writer.mail, n=n)
    writer.engine.dispose()
    shop, publisher = Shop(grant_to("scheduler", TELLING), outcomes_to="order.paid"), MemoryPublisher()
    settle(shop, publisher, lambda: len(publisher.records) == 2)
    told = [orjson.loads(record.value)["outcome"] for record in publisher.records]
    assert sorted(told) == ["failed", "success"]
    shop.engine.dispose()


async def test_a_service_tells_outcomes_with_what_the_page_grants(grant_to: GrantTo) -> None:
    shop = Shop(grant_to("service", TELLING), outcomes_to="order.paid")
    app = make_app(shop.engine, shop.outbox, Tokens.none(), ServiceSettings())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        reply = await client.post("/v2/tasks", json={"task_type": "mail", "arguments": {"n": 0}})
        assert reply.status_code == 201, reply.text
        held = await client.post("/v2/tasks/hold", json={"worker": "w", "limits": {"mail": 1}})
        (task,) = held.json()["tasks"]
        outcome = {"token": task["token"], "outcome": "success"}
        reply = await client.put(f"/v2/tasks/{task['id']}/outcome", json=outcome)
        assert reply.status_code == 200, reply.text
    await app.state.service.stop()
    assert statuses(shop, "order.paid") == [Status.PENDING]
    shop.engine.dispose()


def test_an_operator_tells_outcomes_with_what_the_page_grants(
    database: URL, grant_to: GrantTo, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = Shop(database, outcomes_to="order.paid")
    with owner.engine.begin() as connection:
        for _ in range(2):
            owner.outbox.enqueue(connection, owner.mail, n=1)
    settle(owner, MemoryPublisher(), lambda: statuses(owner, "mail") == [Status.FAILED] * 2)
    with owner.engine.begin() as connection:
        connection.execute(delete(owner.outbox.tasks).where(owner.outbox.tasks.c.task_type == "order.paid"))
    command = Terminal(grant_to("operator", TELLING), capsys)
    command("dead-letters", "cancel", "--all", "--limit", "1", "--yes")
    command("dead-letters", "discard", "--all", "--yes")
    assert statuses(owner, "order.paid") == [Status.PENDING] * 2
    owner.engine.dispose()


def test_unique_keys_are_held_with_what_the_page_grants(grant_to: GrantTo, capsys: pytest.CaptureFixture[str]) -> None:
    writer = Shop(grant_to("writer", UNIQUE))
    with writer.engine.begin() as connection:
        ids = {writer.outbox.enqueue(connection, writer.mail, n=1, unique_key="a") for _ in range(2)}
    assert len(ids) == 1
    writer.engine.dispose()
    shop = Shop(grant_to("scheduler"))
    settle(shop, MemoryPublisher(), lambda: statuses(shop, "mail") == [Status.FAILED])
    command = Terminal(grant_to("operator"), capsys)
    command("dead-letters", "replay", "--all", "--yes")
    settle(shop, MemoryPublisher(), lambda: statuses(shop, "mail") == [Status.FAILED])
    shop.engine.dispose()


def test_a_reader_sees_results_with_what_the_page_grants(database: URL, grant_to: GrantTo) -> None:
    shop = Shop(database)
    with shop.engine.begin() as connection:
        task_id = shop.outbox.enqueue(connection, shop.mail, n=0)
    scheduler = Scheduler(shop.engine, shop.outbox, {"kafka": MemoryPublisher()})
    scheduler.drain()
    scheduler.stop()
    reader = create_engine(grant_to("reader"))
    with reader.connect() as connection:
        assert shop.outbox.result(connection, task_id) == Done(0)
        (found,) = shop.outbox.find(connection, task_type=shop.mail)
        assert (found.id, found.result) == (task_id, 0)
    reader.dispose()
    shop.engine.dispose()


def test_a_consumer_does_its_work_with_what_the_page_grants(grant_to: GrantTo, monkeypatch: pytest.MonkeyPatch) -> None:
    broker, shop, failures = ScriptedBroker(), Shop(grant_to("consumer")), Failures()
    monkeypatch.setattr(consuming, "CLIENTS", {"kafka-python": broker.join})
    consumer = Consumer(shop.engine, shop.outbox, shop.inbox, "localhost:9092", group="g", hooks=[failures])
    broker.stop = consumer._stopping.set

    @consumer.subscribe("coupons", max_retries=0)
    def seen(session: Session, ctx: Any) -> None:
        if not shop.done:
            shop.done.append(1)
            shop.outbox.enqueue(session, shop.mail, n=3)
            return
        raise LookupError("no")

    one, other = (Received(Partition("coupons", 0), offset, None, b"{}", {}) for offset in range(2))
    broker.steps = [lambda: [one, one, other]]
    consumer.run()
    assert failures.seen == []
    assert broker.committed[-1] == {Partition("coupons", 0): 2}
    shop.engine.dispose()


PATIENT: dict[str, Any] = {"token": SECRETS["worker"], "wait_seconds": 0.5, "request_timeout_seconds": 60.0}


def test_a_worker_over_http_needs_no_database(database: URL, grant_to: GrantTo) -> None:
    shop: Any = Shop(grant_to("service"))
    with create_engine(database).begin() as connection:
        task_id = shop.outbox.enqueue(connection, shop.mail, n=5)
    away, failures = Shop(URL.create("sqlite")), Failures()
    with serving(shop) as url:
        worker = ServiceWorker(away.outbox, url, hooks=[failures], **PATIENT)
        worker.start()
        try:
            eventually(lambda: away.done or failures.seen)
        finally:
            assert worker.stop()
    assert (failures.seen, away.done) == ([], [5])
    with create_engine(database).connect() as connection:
        t = shop.outbox.tasks.c
        assert connection.scalar(select(t.status).where(t.id == task_id)) == Status.SUCCESS
    shop.engine.dispose()


def test_helpers_for_tests_do_their_work_with_what_the_page_grants(grant_to: GrantTo) -> None:
    shop = Shop(grant_to("tests"))
    with rolled_back(shop.engine) as session:
        shop.outbox.enqueue(session, shop.mail, n=0, delay_seconds=3600, idempotency_key="a")
        shop.outbox.publish(session, "order.paid", {"n": 1}, key="A1")
        assert_enqueued(session, shop.mail, n=0)
        advance(session, 3600, outbox=shop.outbox)
        drained = drain(session, MemoryPublisher(), outbox=shop.outbox)
        assert (drained.done, drained.sent, drained.left) == (1, 1, {})
    shop.engine.dispose()


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
        for key in ("a", "b", "a"):
            await ask("POST", "/v2/tasks", {"task_type": "mail", "arguments": {"n": 0}, "idempotency_key": key})
        for _ in range(2):
            await ask("POST", "/v2/tasks", {"task_type": "mail", "arguments": {"n": 0}, "unique_key": "c"})
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


class Terminal:
    """Give commands in the name of a user."""

    def __init__(self, url: URL, capsys: pytest.CaptureFixture[str]) -> None:
        self._url = url.render_as_string(hide_password=False)
        self._capsys = capsys
        capsys.readouterr()

    def __call__(self, *words: str) -> str:
        code = cli.main([*words, "--database-url", self._url])
        told = self._capsys.readouterr()
        assert code == 0, (words, told)
        return told.out


def look_at_all(command: Terminal) -> str:
    """Give every command that only looks; return the id of a dead letter."""
    assert "mail" in command("status")
    found = re.search(r"[0-9a-f-]{36}", command("dead-letters", "list"))
    assert found
    command("dead-letters", "show", "--id", found[0])
    command("doctor")
    command("explain", found[0])
    command("top", "--once")
    command("tasks", "list", "--type", "mail")
    command("tasks", "show", "--id", found[0])
    command("jobs", "dump", "--name", "sweep")
    for words in ("types", "charts", "shards", "periodic", "audit", "instances list", "jobs list", "config list"):
        command(*words.split())
    command("schema", "check")
    command("dead-letters", "groups")
    return found[0]


def test_an_observer_sees_everything_with_what_the_page_grants_and_changes_nothing(
    database: URL, grant_to: GrantTo, capsys: pytest.CaptureFixture[str]
) -> None:
    write(database)
    run(database)
    url = grant_to("observer")
    command = Terminal(url, capsys)
    look_at_all(command)
    shop, registry = Shop(url), CollectorRegistry()
    registry.register(OutboxCollector(shop.engine, shop.outbox))
    assert "asyncflow_look_failed 0.0" in generate_latest(registry).decode()
    shop.engine.dispose()
    assert set(grants_of("observer").values()) == {"SELECT"}


def test_a_notifier_does_its_work_with_what_the_page_grants(database: URL, grant_to: GrantTo) -> None:
    write(database)
    shop, failures, channel = Shop(grant_to("notifier")), Failures(), Told()
    owner = create_engine(database)
    with owner.begin() as connection:
        long_ago = timedelta(hours=-1)  # so that what waits is told of at once
        connection.execute(update(shop.outbox.tasks).values(order_time=long_ago, next_select_time=long_ago))
    settings = NotifierSettings(interval_seconds=0.001, quiet_seconds=0.001, least="notice")
    notifier = Notifier(shop.engine, shop.outbox, [channel], settings=settings, hooks=[failures])
    eventually(lambda: notifier.step() and any(notice.appeared for notice in channel.notices))
    with owner.begin() as connection:
        connection.execute(delete(shop.outbox.tasks))
    eventually(lambda: notifier.step() and any(notice.cleared for notice in channel.notices))
    assert failures.seen == []
    owner.dispose()
    shop.engine.dispose()


async def test_a_dashboard_shows_and_changes_all_with_what_the_page_grants_an_operator(
    database: URL, grant_to: GrantTo
) -> None:
    await asyncio.to_thread(write, database)
    await asyncio.to_thread(run, database)
    shop = Shop(grant_to("operator"))
    with shop.engine.connect() as connection:
        letter = str(connection.scalar(select(shop.outbox.tasks.c.id)))
    app = Dashboard(shop.engine, shop.outbox, users=lambda _: Person("li", Role.ADMIN))
    async with browser(app) as client:
        for path in PAGES:
            answer = await client.get("/" + path.replace(NOBODY, letter))
            assert answer.status_code < 500, (path, text_of(answer))
        for path, _ in DEEDS:
            answer = await send(client, "/" + path.replace(NOBODY, letter))
            assert answer.status_code < 500, (path, text_of(answer))
    shop.engine.dispose()


def test_an_operator_does_his_work_with_what_the_page_grants(
    database: URL, grant_to: GrantTo, capsys: pytest.CaptureFixture[str]
) -> None:
    write(database)
    run(database)
    command = Terminal(grant_to("operator"), capsys)
    letter = look_at_all(command)
    command("dead-letters", "replay", "--id", letter, "--yes")
    command("tasks", "cancel", "--id", letter, "--yes")
    command("dead-letters", "replay", "--all", "--yes")
    command("dead-letters", "cancel", "--all", "--yes")
    command("dead-letters", "discard", "--all", "--yes")
    command("config", "set", "--type", "mail", "--register", "--option", "max_retries=3")
    command("config", "unset", "--type", "mail")
    command("jobs", "pause", "--name", "sweep")
    command("jobs", "resume", "--name", "sweep")
    command("jobs", "trigger", "--name", "sweep")
    for change in ("trigger", "pause", "resume"):
        command("periodic", f"--{change}", "mail")
    command("purge", "--older-than", "1s", "--status", "failed", "cancelled", "--yes")
    member = {"job": "outbox", "instance": "one", "joined_at": timedelta(0), "lease_until": timedelta(hours=1)}
    shop = Shop(database)
    with shop.engine.begin() as connection:
        connection.execute(insert(shop.outbox.instances), [{**member, "leaving": False}])
    shop.engine.dispose()
    command("instances", "drain", "--name", "one")
    command("instances", "undrain", "--name", "one")


def test_finished_tasks_wait_in_their_table_until_the_scheduler_may_make_others(
    database: URL, grant_to: GrantTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_PAUSE_SECONDS", "_PATIENCE_SECONDS"):
        monkeypatch.setattr(keeper, name, 0.1)
    rolls = RollOver(rows=100, after=timedelta(0))
    owner, is_mysql = Shop(database, roll_over=rolls), database.get_backend_name() == "mysql"
    assert owner.outbox.numbered_tables is not None
    owner.outbox.numbered_tables.positions.create(owner.engine)
    url = grant_to("scheduler")
    user = f"'{url.username}'@'%'" if is_mysql else str(url.username)
    with owner.engine.begin() as connection:
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON asyncflow_schedule_pos TO {user}"))
        if not is_mysql:
            connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        task_id = owner.outbox.publish(connection, "order.seen", {"n": 1})
    held = rolled_until(Shop(url, roll_over=rolls), lambda signals: bool(signals.of(RollOverHeldUp)))
    assert "the role has to create and drop tables" in held.of(RollOverHeldUp)[0].reason
    assert statuses_in(owner) == [Status.SUCCESS]
    rights = (
        f"GRANT CREATE, DROP, INDEX, SELECT, INSERT ON {database.database}.* TO {user}"
        if is_mysql
        else f"GRANT CREATE ON SCHEMA public TO {user}"
    )
    with owner.engine.begin() as connection:
        connection.execute(text(rights))
    shop = Shop(url, roll_over=rolls)
    rolled_until(shop, lambda _: statuses_in(owner) == [])
    with shop.engine.connect() as connection:
        assert shop.outbox.result(connection, task_id) == Done()
    for engine in (owner.engine, shop.engine):
        engine.dispose()


def rolled_until(shop: Shop, is_done: Callable[[Signals], bool]) -> Signals:
    """Let a scheduler run until something is so and all is sent; return what it told."""
    signals = Signals()
    scheduler = Scheduler(
        shop.engine, shop.outbox, {"kafka": MemoryPublisher()}, hooks=[signals], cleaning_interval_seconds=0.2
    )
    scheduler.start()
    try:
        eventually(lambda: is_done(signals) and Status.PENDING not in statuses_in(shop))
    finally:
        scheduler.stop()
        shop.engine.dispose()
    return signals


def statuses_in(shop: Shop) -> list[int]:
    """Return the statuses of the rows of the task table."""
    with shop.engine.connect() as connection:
        return list(connection.execute(select(shop.outbox.tasks.c.status)).scalars())
