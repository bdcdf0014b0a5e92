"""What every consumer of queues has to hold, asked on the real broker: each message once, whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from asyncflow import CancelTask, RejectTask, Scheduler, Status, TaskContext
from asyncflow.consuming.queue_consumer import QueueConsumer
from asyncflow.errors import OptionError
from asyncflow.events import StepFailed
from asyncflow.scheduler import DeadLetters, Selection
from asyncflow.testing import MemoryPublisher
from tests.integration.consuming import program
from tests.integration.consuming.queues import QueuesUnderTest, record_of
from tests.support.application import Application
from tests.support.databases import drop_everything
from tests.support.snippets import ROOT
from tests.unit.scheduler.waiting import eventually

LONG = 120.0
LONG_HANDLER_SECONDS = 45.0  # longer than those of ``with_silence`` may be silent, twice
QUICK: dict[str, Any] = {"retry_interval_seconds": 0.05, "max_retry_interval_seconds": 0.05, "max_retries": 2}
Make = Callable[..., QueueConsumer]
Count = Callable[[], Counter[Any]]


def names(application: Application) -> list[str]:
    with application.session() as session:
        return list(session.scalars(select(application.User.account_no).order_by(application.User.account_no)))


def spawn(*command: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, env={**os.environ, **environment})


def count_effects(engine: Engine) -> Counter[Any]:
    with engine.connect() as connection:
        found = connection.execute(select(program.effects.c.number, program.effects.c.by))
        return Counter(tuple(row) for row in found)


class QueueConsumerSuite:
    """Ask a consumer for what it promises; a subclass has the fixture ``queues``, and ``make_consumer``."""

    make_consumer: Any  # a static method

    @pytest.fixture
    def topic(self, queues: QueuesUnderTest) -> str:
        return queues.make_topic()

    @pytest.fixture
    def group(self) -> str:
        return f"group-{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def make(self, sqlite_application: Application, queues: QueuesUnderTest, group: str) -> Iterator[Make]:
        """Make consumers that end with the test."""
        made: list[QueueConsumer] = []

        def make(engine: Any = None, **options: Any) -> QueueConsumer:
            app = sqlite_application
            given: dict[str, Any] = {"group": group, "hooks": [app.signals], **options}
            made.append(self.make_consumer(engine or app.engine, app.outbox, app.inbox, queues.url, **given))
            return made[-1]

        yield make
        for one in made:
            assert one.stop(LONG)

    @pytest.fixture
    def effects(self, engine: Engine) -> Iterator[Count]:
        """Give what processes have done, on a database of their own."""
        program.metadata.create_all(engine)
        yield lambda: count_effects(engine)
        drop_everything(engine)

    # -- what takes effect -----------------------------------------------------------------------------------

    def test_each_subscriber_gets_each_message_once_with_its_own_arguments(
        self, sqlite_application: Application, make: Make, queues: QueuesUnderTest, topic: str, group: str
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
        queues.publish(topic, given, "coupon.revoked", key=b"A1")
        queues.publish(topic, given, key=b"A1")
        with consumer:
            eventually(lambda: len(seen) == 6)
        eventually(lambda: queues.left(topic, group) == 0)
        expected = [(1, "A1", "acme", f"A{n}", Decimal("1.50")) for n in range(3)] + [(f"A{n}", "-") for n in range(3)]
        assert Counter(seen) == Counter(expected)
        assert names(sqlite_application) == ["A0", "A1", "A2"]
        assert sqlite_application.statuses() == [Status.PENDING] * 3

    def test_a_message_that_was_sent_twice_takes_effect_once(
        self, make: Make, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        consumer, seen = make(), list[int]()

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, number: int) -> None:
            seen.append(number)

        twice = record_of(topic, {"number": 1}, "coupon.granted")
        queues.publish_records([twice])
        queues.publish_records([twice])
        queues.publish(topic, [{"number": 2}])
        with consumer:
            eventually(lambda: 2 in seen)
        assert seen == [1, 2]
        eventually(lambda: queues.left(topic, group) == 0)

    def test_messages_without_an_id_are_told_from_each_other(
        self, make: Make, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        consumer, seen = make(), list[str]()

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, ctx: TaskContext, number: int) -> None:
            seen.append(ctx.headers["from-message"])
            assert ctx.headers["from-place"] == ctx.headers["from-message"]

        queues.publish(topic, [{"number": 1}] * 2, has_id=False)
        with consumer:
            eventually(lambda: len(seen) == 2)
        assert len(set(seen)) == 2
        assert all(one.startswith(f"{topic}/") for one in seen)
        eventually(lambda: queues.left(topic, group) == 0)

    async def test_coroutines_take_messages_on_the_loop_that_awaits_them(
        self, sqlite_application: Application, make: Make, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        engine = create_async_engine(sqlite_application.engine.url.set(drivername="sqlite+aiosqlite"))
        consumer, loops, user = make(engine), [], sqlite_application.User

        @consumer.subscribe("coupon.granted", topic=topic, **QUICK)
        async def coupons(session: AsyncSession, account_no: str) -> None:
            loops.append(asyncio.get_running_loop())
            session.add(user(account_no=account_no))
            if account_no == "broken":
                raise LookupError("never")

        await asyncio.to_thread(queues.publish, topic, [{"account_no": one} for one in ("A1", "broken", "A2")])
        running = asyncio.ensure_future(consumer.run_async())
        await asyncio.to_thread(
            eventually, lambda: len(names(sqlite_application)) == 2 and sqlite_application.statuses() == [Status.FAILED]
        )
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await engine.dispose()
        assert names(sqlite_application) == ["A1", "A2"]
        assert set(loops) == {asyncio.get_running_loop()}
        eventually(lambda: queues.left(topic, group) == 0)

    # -- what fails ------------------------------------------------------------------------------------------

    def test_what_fails_is_tried_again_while_others_go_on_and_becomes_a_dead_letter(
        self, sqlite_application: Application, make: Make, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        consumer, user = make(), sqlite_application.User
        attempts: Counter[str] = Counter()
        is_mended: list[bool] = []

        @consumer.subscribe("coupon.granted", topic=topic, **QUICK)
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
        queues.publish(topic, [*poison, *named])
        with consumer:
            eventually(lambda: len(names(sqlite_application)) == 2 and len(sqlite_application.rows()) == 6)
            eventually(lambda: attempts["unwanted"] == 1)
        eventually(lambda: queues.left(topic, group) == 0)
        assert names(sqlite_application) == ["flaky", "last"]
        assert dict(attempts) == {"broken": 3, "refused": 1, "unwanted": 1, "flaky": 3, "last": 1}
        rows = sqlite_application.rows()
        assert [(row.task_type, row.status) for row in rows] == [("coupons", Status.FAILED)] * 6
        assert {row.payload for row in rows} >= {b"\xff no JSON", b"[1]", b'{"account_no":"broken"}'}
        (broken,) = (row for row in rows if b"broken" in row.payload)
        assert "LookupError: not yet" in broken.schedule_log

        is_mended.append(True)
        letters = DeadLetters(sqlite_application.engine, sqlite_application.outbox)
        assert letters.inspect(broken.id).headers["from-place"].startswith(f"{topic}/")
        letters.replay(Selection(ids=[broken.id]), actor="ann")
        Scheduler(sqlite_application.engine, sqlite_application.outbox, {"kafka": MemoryPublisher()}).drain(
            raise_errors=True
        )
        assert names(sqlite_application) == ["broken", "flaky", "last"]

    def test_messages_of_a_key_wait_for_one_that_fails_and_keep_their_order(
        self, make: Make, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        consumer, done = make(), list[int]()

        @consumer.subscribe("coupon.granted", topic=topic, retry_interval_seconds=0.01)
        def coupons(session: Session, number: int) -> None:
            if number == 0 and 9 not in done:
                raise LookupError("not before another key has gone by")
            done.append(number)

        queues.publish(topic, [{"number": n} for n in range(4)], key=b"slow")
        queues.publish(topic, [{"number": 9}], key=b"quick")
        with consumer:
            eventually(lambda: len(done) == 5)
        assert done == [9, 0, 1, 2, 3]
        eventually(lambda: queues.left(topic, group) == 0)

    def test_a_broker_that_goes_away_is_waited_for(
        self, sqlite_application: Application, make: Make, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        consumer, seen = make(), Counter[int]()

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, number: int) -> None:
            seen[number] += 1

        queues.publish(topic, [{"number": 1}])
        troubles = sqlite_application.signals
        with consumer:
            eventually(lambda: seen[1])
            with queues.away():
                eventually(lambda: troubles.of(StepFailed))
            queues.publish(topic, [{"number": 2}])
            eventually(lambda: seen[2])
            eventually(lambda: queues.left(topic, group) == 0)  # what was cut before its acknowledgement comes again
        assert seen == {1: 1, 2: 1}
        eventually(lambda: queues.left(topic, group) == 0)

    # -- who ends --------------------------------------------------------------------------------------------

    def test_a_stop_finishes_the_message_in_hand_and_gives_back_the_others(
        self, make: Make, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        consumer, other = make(), make()
        begun, may_end = threading.Event(), threading.Event()
        first: list[int] = []
        second: list[int] = []

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, number: int) -> None:
            first.append(number)
            begun.set()
            may_end.wait(LONG)

        @other.subscribe("coupon.granted", topic=topic, name="others")
        def others(session: Session, number: int) -> None:
            second.append(number)

        queues.publish(topic, [{"number": n} for n in range(10)])
        consumer.start()
        assert begun.wait(LONG)
        assert not consumer.stop(0.1)
        may_end.set()
        assert consumer.stop(LONG)
        assert len(first) == 1
        eventually(lambda: queues.left(topic, group) >= 9)  # NATS counts one twice that it was about to bring again
        with other:
            eventually(lambda: len(second) == 9)
            eventually(lambda: queues.left(topic, group) == 0)
        assert sorted(first + second) == list(range(10))

    def test_a_handler_that_takes_long_keeps_its_message(
        self, make: Make, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        consumer, other = make(**queues.with_silence), make(**queues.with_silence)
        attempts: list[str] = []

        def subscribe(consumer: QueueConsumer, name: str) -> None:
            @consumer.subscribe("coupon.granted", topic=topic, name=name)
            def coupons(session: Session) -> None:
                attempts.append(name)
                time.sleep(LONG_HANDLER_SECONDS)

        subscribe(consumer, "one")
        subscribe(other, "other")
        queues.publish(topic, [{}])
        consumer.start()
        other.start()
        eventually(lambda: attempts)
        assert consumer.stop(LONG)
        assert other.stop(LONG)
        assert len(attempts) == 1
        eventually(lambda: queues.left(topic, group) == 0)

    @pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
    def test_a_consumer_that_is_killed_between_a_commit_and_its_acknowledgement_repeats_nothing(
        self, engine: Engine, effects: Count, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        count = 30
        queues.publish(topic, [{"number": n} for n in range(count)])
        url = engine.url.render_as_string(hide_password=False)
        its = (queues.module, url, queues.url, topic, group)
        for acknowledgements in (7, 0):
            before = len(effects())
            process = spawn("-m", program.__name__, *its, str(acknowledgements))
            assert process.wait(LONG) == -signal.SIGKILL
            assert len(effects()) == before + 2 * (acknowledgements + 1) or before
        with program.make(*its):
            eventually(lambda: len(effects()) == 2 * count)
            eventually(lambda: queues.left(topic, group) == 0)  # what the killed held comes again meanwhile
        assert set(effects().values()) == {1}
        eventually(lambda: queues.left(topic, group) == 0)

    @pytest.mark.parametrize(
        "count", [200, pytest.param(2000, marks=pytest.mark.long)], ids=lambda count: f"{count}_messages"
    )
    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
    def test_consumers_that_are_killed_again_and_again_lose_nothing_and_double_nothing(
        self, engine: Engine, effects: Count, queues: QueuesUnderTest, topic: str, group: str, count: int
    ) -> None:
        queues.publish(topic, [{"number": n} for n in range(count)])
        url = engine.url.render_as_string(hide_password=False)
        its = (queues.module, url, queues.url, topic, group)
        kills = max(3, count // 200)
        for number in range(kills):
            reached = (number + 1) * 2 * count // (kills + 1)
            processes = [spawn("-m", program.__name__, *its) for _ in range(2)]
            try:
                eventually(lambda reached=reached: len(effects()) >= reached)  # type: ignore[misc]
            finally:
                for process in processes:
                    process.kill()
                    process.wait(LONG)
        with program.make(*its):
            eventually(lambda: len(effects()) == 2 * count)
            eventually(lambda: queues.left(topic, group) == 0)  # what the killed held comes again meanwhile
        assert set(effects().values()) == {1}
        eventually(lambda: queues.left(topic, group) == 0)

    def test_the_command_consumes_until_it_is_asked_to_stop(
        self, tmp_path: Path, queues: QueuesUnderTest, topic: str, group: str
    ) -> None:
        url = f"sqlite:///{tmp_path}/effects.db"
        engine = create_engine(url)
        program.metadata.create_all(engine)
        queues.publish(topic, [{"number": n} for n in range(5)])
        given = f"{queues.module} {url} {queues.url} {topic} {group}"
        process = spawn("-m", "asyncflow.cli", "consume", f"{program.__name__}:consumer", ASYNCFLOW_TEST_CONSUMER=given)
        try:
            eventually(lambda: count_effects(engine).total() == 10)
            process.send_signal(signal.SIGTERM)
            assert process.wait(LONG) == 0
        finally:
            process.kill()
            engine.dispose()
        eventually(lambda: queues.left(topic, group) == 0)

    def test_what_does_not_fit_is_refused_where_it_is_declared(
        self, sqlite_application: Application, make: Make, queues: QueuesUnderTest
    ) -> None:
        consumer = make()

        def function() -> None: ...

        async def coroutine(session: AsyncSession) -> None: ...

        with pytest.raises(OptionError, match="with an Engine make it a function"):
            consumer.subscribe("coupon.granted")(coroutine)
        with pytest.raises(OptionError, match="has no parameter 'session'"):
            consumer.subscribe("coupon.granted")(function)
        with pytest.raises(OptionError, match="no subscribers"):
            consumer.run()
        for prefetch in (0, True, 10_001):
            with pytest.raises(OptionError, match="prefetch is"):
                make(prefetch=prefetch)
        with pytest.raises(OptionError, match="engine is"):
            make(engine="sqlite://")
