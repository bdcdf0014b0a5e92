"""A consumer on Apache Kafka, through both clients: each message once for each subscriber, whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from asyncflow import CancelTask, RejectTask, Scheduler, Status, TaskContext
from asyncflow.errors import OptionError
from asyncflow.events import ConsumerStarted, ConsumerStopped, MissingTopicSeen
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.scheduler import DeadLetters, Selection
from asyncflow.testing import MemoryPublisher
from tests.integration.integrations.kafka.consuming import program
from tests.integration.integrations.kafka.consuming.messages import committed, make_anew, make_topic, publish
from tests.support.application import Application
from tests.support.databases import drop_everything
from tests.support.snippets import ROOT
from tests.unit.scheduler.waiting import eventually
from tools.services import load

LONG = 120.0
QUICK: dict[str, Any] = {"retry_interval_seconds": 0.05, "max_retry_interval_seconds": 0.05, "max_retries": 2}
Client = Literal["kafka-python", "confluent-kafka"]
Make = Callable[..., Consumer]


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    return found


@pytest.fixture(scope="module")
def servers() -> str:
    found = load().kafka_bootstrap
    assert found is not None, "no Kafka: `make services` brings one up"
    return found


@pytest.fixture
def topic(servers: str) -> str:
    return make_topic(servers)


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def make(sqlite_application: Application, servers: str, group: str, client: Client) -> Iterator[Make]:
    """Make consumers that end with the test."""
    made: list[Consumer] = []

    def make(engine: Any = None, **options: Any) -> Consumer:
        app = sqlite_application
        given: dict[str, Any] = {"group": group, "client": client, **options}
        made.append(Consumer(engine or app.engine, app.outbox, app.inbox, servers, hooks=[app.signals], **given))
        return made[-1]

    yield make
    for one in made:
        assert one.stop(LONG)


@pytest.mark.parametrize("client", ["confluent-kafka"])  # the other has the broker make it
def test_a_topic_that_is_not_there_is_named_once_beside_what_is_consumed(
    sqlite_application: Application, make: Make, servers: str, topic: str, client: Client
) -> None:
    consumer, signals, missing = make(), sqlite_application.signals, f"never-{uuid.uuid4().hex[:12]}"
    seen: list[str] = []

    @consumer.subscribe("coupon.granted", topic=topic, name="coupons")
    def coupons(session: Session, account_no: str) -> None:
        seen.append(account_no)

    @consumer.subscribe("coupon.revoked", topic=missing, name="revoked")
    def revoked(session: Session) -> None: ...

    with consumer:
        eventually(lambda: signals.of(MissingTopicSeen))
        publish(servers, topic, [{"account_no": "A1"}], task_type="coupon.granted")
        eventually(lambda: seen == ["A1"])
    topics = tuple(sorted((topic, missing)))
    assert signals.of(MissingTopicSeen) == [MissingTopicSeen(missing)]
    assert signals.of(ConsumerStarted) == [ConsumerStarted(topics, ("coupons", "revoked"))]
    assert signals.of(ConsumerStopped) == [ConsumerStopped(topics)]


def names(application: Application) -> list[str]:
    with application.session() as session:
        return list(session.scalars(select(application.User.account_no).order_by(application.User.account_no)))


def test_each_subscriber_gets_each_message_once_with_its_own_arguments(
    sqlite_application: Application, make: Make, servers: str, topic: str, group: str
) -> None:
    consumer, user = make(), sqlite_application.User
    seen: list[Any] = []

    @sqlite_application.outbox.task
    def mail(account_no: str) -> None: ...

    @consumer.subscribe("coupon.granted", topic=topic)
    def coupons(session: Session, ctx: TaskContext, account_no: str, amount: Decimal) -> None:
        seen.append((ctx.attempt, ctx.key, ctx.headers["tenant"], account_no, amount))
        session.add(user(account_no=account_no))
        mail.enqueue(session, account_no=account_no)

    @consumer.subscribe("coupon.granted", topic=topic, name="points.count")
    def count(session: Session, account_no: str, note: str = "-") -> None:
        seen.append((account_no, note))

    given = [{"account_no": f"A{n}", "amount": "1.50", "of no interest": n} for n in range(3)]
    publish(servers, topic, given, task_type="coupon.granted")
    publish(servers, topic, given, task_type="coupon.revoked")
    with consumer:
        eventually(lambda: len(seen) == 6 and committed(servers, group, topic) == 6)
    again = make(group=f"{group}-2")
    again.subscriptions = consumer.subscriptions
    with again:
        eventually(lambda: committed(servers, f"{group}-2", topic) == 6)
    expected = [(1, "A1", "acme", f"A{n}", Decimal("1.50")) for n in range(3)] + [(f"A{n}", "-") for n in range(3)]
    assert Counter(seen) == Counter(expected)
    assert names(sqlite_application) == ["A0", "A1", "A2"]
    assert sqlite_application.statuses() == [Status.PENDING] * 3


def test_what_fails_is_tried_again_while_others_go_on_and_becomes_a_dead_letter(
    sqlite_application: Application, make: Make, servers: str, topic: str, group: str
) -> None:
    consumer, user = make(), sqlite_application.User
    attempts: Counter[str] = Counter()
    is_mended: list[bool] = []

    @consumer.subscribe(topic, **QUICK)
    def coupons(session: Session, ctx: TaskContext, account_no: str, amount: int = 0) -> None:
        attempts[account_no] += 1
        session.add(user(account_no=account_no))
        session.flush()
        if account_no == "unwanted":
            raise CancelTask("nobody wants it")
        if account_no == "refused":
            raise RejectTask("never")
        if (account_no == "flaky" and ctx.attempt < 3) or (account_no == "broken" and not is_mended):
            raise LookupError("not yet")

    poison = [b"\xff no JSON", [1], {"amount": 1}, {"account_no": 7}]
    named = [{"account_no": one} for one in ("broken", "refused", "unwanted", "flaky", "last")]
    publish(servers, topic, [*poison, *named], partition=0)
    publish(servers, topic, [{"account_no": "neighbour"}], partition=1)
    with consumer:
        eventually(lambda: committed(servers, group, topic) == 10)
    assert names(sqlite_application) == ["flaky", "last", "neighbour"]
    assert dict(attempts) == {"broken": 3, "refused": 1, "unwanted": 1, "flaky": 3, "last": 1, "neighbour": 1}
    rows = sqlite_application.rows()
    assert [(row.task_type, row.status) for row in rows] == [("coupons", Status.FAILED)] * 6
    assert {row.payload for row in rows} >= {b"\xff no JSON", b"[1]", b'{"account_no":"broken"}'}
    (broken,) = (row for row in rows if b"broken" in row.payload)
    assert "LookupError: not yet" in broken.schedule_log

    is_mended.append(True)
    letters = DeadLetters(sqlite_application.engine, sqlite_application.outbox)
    assert letters.inspect(broken.id).headers["from-place"] == f"{topic}/0/4"
    letters.replay(Selection(ids=[broken.id]), actor="ann")
    Scheduler(sqlite_application.engine, sqlite_application.outbox, {"kafka": MemoryPublisher()}).drain(
        raise_errors=True
    )
    assert names(sqlite_application) == ["broken", "flaky", "last", "neighbour"]


async def test_coroutines_take_messages_on_the_loop_that_awaits_them(
    sqlite_application: Application, make: Make, servers: str, topic: str, group: str
) -> None:
    engine = create_async_engine(sqlite_application.engine.url.set(drivername="sqlite+aiosqlite"))
    consumer, loops, user = make(engine), [], sqlite_application.User

    @consumer.subscribe(topic, **QUICK)
    async def coupons(session: AsyncSession, account_no: str) -> None:
        loops.append(asyncio.get_running_loop())
        session.add(user(account_no=account_no))
        if account_no == "broken":
            raise LookupError("never")

    publish(servers, topic, [{"account_no": one} for one in ("A1", "broken", "A2")])
    running = asyncio.ensure_future(consumer.run_async())
    await asyncio.to_thread(eventually, lambda: committed(servers, group, topic) == 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await engine.dispose()
    assert names(sqlite_application) == ["A1", "A2"]
    assert set(loops) == {asyncio.get_running_loop()}
    assert sqlite_application.statuses() == [Status.FAILED]


@pytest.fixture
def effects(engine: Engine) -> Iterator[Callable[[], Counter[Any]]]:
    """Give what processes have done, on a database of their own."""
    program.metadata.create_all(engine)

    def count() -> Counter[Any]:
        with engine.connect() as connection:
            return Counter(
                tuple(row) for row in connection.execute(select(program.effects.c.number, program.effects.c.by))
            )

    yield count
    drop_everything(engine)


def spawn(*command: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("database_url", "client"), [("mariadb", "kafka-python"), ("postgresql", "confluent-kafka")], indirect=True
)
def test_a_consumer_that_is_killed_in_the_middle_of_a_batch_and_one_that_joins_have_each_effect_once(
    engine: Engine, effects: Callable[[], Counter[Any]], servers: str, topic: str, group: str, client: Client
) -> None:
    count = 300
    publish(servers, topic, [{"number": n} for n in range(count)], task_type="coupon.granted")
    url = engine.url.render_as_string(hide_password=False)
    its = ("-m", program.__name__, url, servers, topic, group, client)
    process = spawn(*its, ASYNCFLOW_TEST_PAUSE="0.2")
    try:
        eventually(lambda: len(effects()) > 20)
        process.kill()
        process.wait(LONG)
        assert len(effects()) < 2 * count
        others = [program.make(url, servers, topic, group, client) for _ in range(2)]
        with others[0]:
            eventually(lambda: len(effects()) > 200)
            with others[1]:
                eventually(lambda: len(effects()) == 2 * count)
    finally:
        process.kill()
    assert set(effects().values()) == {1}
    assert committed(servers, group, topic) == count


def test_the_command_consumes_until_it_is_asked_to_stop(tmp_path: Path, servers: str, topic: str, group: str) -> None:
    url = f"sqlite:///{tmp_path}/effects.db"
    engine = create_engine(url)
    program.metadata.create_all(engine)
    publish(servers, topic, [{"number": n} for n in range(5)], task_type="coupon.granted")
    given = f"{url} {servers} {topic} {group} confluent-kafka"
    process = spawn("-m", "asyncflow.cli", "consume", f"{program.__name__}:consumer", ASYNCFLOW_TEST_CONSUMER=given)
    try:

        def done() -> int:
            with engine.connect() as connection:
                return int(connection.scalar(select(func.count()).select_from(program.effects)) or 0)

        eventually(lambda: done() == 10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0
    finally:
        process.kill()
        engine.dispose()
    assert committed(servers, group, topic) == 5


def test_messages_without_ids_of_a_topic_that_is_made_anew_are_not_taken_for_those_of_the_old_one(
    sqlite_application: Application, make: Make, servers: str, topic: str, group: str
) -> None:
    before, after = make(), make()
    seen: list[int] = []

    @before.subscribe("coupon.granted", topic=topic)
    def coupons(session: Session, number: int) -> None:
        seen.append(number)

    after.subscriptions = before.subscriptions
    for consumer, numbers in ((before, range(3)), (after, range(3, 6))):
        values = [{"number": number} for number in numbers]
        publish(servers, topic, values, task_type="coupon.granted", has_ids=False)
        with consumer:
            eventually(lambda: len(seen) > max(numbers) and committed(servers, group, topic) == 3)  # noqa: B023 - now
        if consumer is before:
            make_anew(servers, topic)
    assert seen == list(range(6))


def test_what_does_not_fit_is_refused_where_it_is_declared(sqlite_application: Application) -> None:
    app = sqlite_application
    given: Any = (app.engine, app.outbox, app.inbox, "localhost:9092")
    consumer = Consumer(*given, group="g")

    async def coroutine(session: AsyncSession) -> None: ...

    def function() -> None: ...

    with pytest.raises(OptionError, match="with an Engine make it a function, or give Consumer an AsyncEngine"):
        consumer.subscribe("coupon.granted")(coroutine)
    with pytest.raises(OptionError, match="has no parameter 'session'"):
        consumer.subscribe("coupon.granted")(function)
    with pytest.raises(OptionError, match="no subscribers"):
        consumer.run()
    with pytest.raises(OptionError, match="give one of kafka-python, confluent-kafka"):
        Consumer(*given, group="g", client="librdkafka")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="engine is"):
        Consumer(None, *given[1:], group="g")  # type: ignore[arg-type]
