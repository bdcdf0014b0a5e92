"""A short day of an application whose scheduler speaks through a network that loses the answer of one COMMIT."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import orjson
from sqlalchemy import URL, Column, Engine, Integer, MetaData, String, Table, insert, select
from sqlalchemy.orm import Session

from asyncflow import RESULT, Call, Message, Outbox, Scheduler, SimpleJob, Status, TaskContext
from asyncflow.events import SettleFenced, StepFailed, TaskFailed, TasksSettled
from asyncflow.scheduler import SENT, Outcome, Record, Retry
from asyncflow.testing import MemoryPublisher, Signals
from tests.support.databases import drop_everything, open_engine
from tests.support.options import RetryTimes
from tests.support.proxy import Proxy

_LONG_SECONDS = 120.0
_NO_WAIT: RetryTimes = {"retry_interval_seconds": 0, "max_retry_interval_seconds": 0}
_QUICK = {
    "lease_seconds": 30.0,
    "heartbeat_seconds": 0.1,
    "claim_lease_seconds": 60.0,
    "tick": 0.1,
    "max_pause_seconds": 0.05,
    "monitor_interval_seconds": 0.2,
    "cleaning_interval_seconds": 3600.0,
}
PLAIN, ORDERED, SKIPPING, KEYS = "plain", "ordered", "skipping", "ABCD"
TOLD = "told"  # the messages about outcomes


class Broker(MemoryPublisher):
    """Refuse each message as often as its payload says, and remember what was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: Counter[str] = Counter()
        self.arrived: dict[str, list[int]] = defaultdict(list)
        self.told: dict[str, set[str]] = defaultdict(set)  # by outcome and task the messages that tell of it

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        return [self._hear(record) if record.topic == TOLD else self._take(record) for record in batch]

    def _hear(self, record: Record) -> Outcome:
        body = orjson.loads(record.value)
        self.told[f"{body['outcome']} {body['result']} {body['task_id']}"].add(
            dict(record.headers)["message-id"].decode()
        )
        return SENT

    def _take(self, record: Record) -> Outcome:
        number, refusals = map(int, record.value.split())
        message_id = dict(record.headers)["message-id"].decode()
        if self.refused[message_id] < refusals:
            self.refused[message_id] += 1
            return Retry("not today")
        name = f"{record.topic}/{(record.key or b'').decode()}"
        if number not in self.arrived[name]:
            self.arrived[name].append(number)
        return SENT


class Day:
    """Enqueue, let a scheduler do all of it, and judge; ``engine`` is the application's own, past the proxy."""

    def __init__(self, engine: Engine, url: URL, **options: Any) -> None:
        self.engine = engine
        self.through = open_engine(url)
        self.options = options
        self.outbox = outbox = Outbox(MetaData())
        self.effects = Table(
            "effects",
            outbox.tasks.metadata,
            Column("id", Integer, primary_key=True, autoincrement=True),
            Column("name", String(40)),
        )
        self.broker, self.signals = Broker(), Signals()
        self.calls: Counter[str] = Counter()
        self.runs: Counter[int] = Counter()
        for name in (PLAIN, ORDERED, SKIPPING):
            outbox.message(name, max_retries=5, ordered=name != PLAIN, **_NO_WAIT)
        outbox.message(TOLD, ordered=True)
        self._declare_handlers()
        self._declare_flow()
        self.job = _Send(self.runs)

    def _declare_handlers(self) -> None:
        calls, effects = self.calls, self.effects

        @self.outbox.task(max_retries=0)
        def once(name: str) -> None:
            calls[name] += 1

        @self.outbox.task(max_retries=5, **_NO_WAIT)
        def again(name: str) -> None:
            calls[name] += 1
            if calls[name] <= 2:
                raise ValueError("not yet")

        @self.outbox.task(max_retries=5, **_NO_WAIT)
        def staged(name: str, ctx: TaskContext) -> None:
            calls[name] += 1
            if ctx.stage is None:
                ctx.checkpoint(stage="half", context={"at": name})

        @self.outbox.task(transactional=True, max_retries=5, **_NO_WAIT)
        def granted(name: str, session: Session) -> None:
            session.execute(insert(effects).values(name=name))

    def _declare_flow(self) -> None:
        calls = self.calls

        @self.outbox.task(max_retries=5, outcomes_to=TOLD, keep_result=True, **_NO_WAIT)
        def priced(name: str) -> str:
            calls[name] += 1
            if calls[name] == 1:
                raise ValueError("not yet")
            return name.upper()

        @self.outbox.task(max_retries=0)
        def followed(price: str) -> None:
            calls[f"followed {price}"] += 1

        self._priced = priced.options(then=followed.later(price=RESULT))

    def enqueue(self, count: int = 3) -> None:
        """Write the day's tasks, in one transaction."""
        with Session(self.engine) as session, session.begin():
            plain = [Message(b"%d %d" % (n, n % 3)) for n in range(4 * count)]
            self.outbox.publish_many(session, PLAIN, plain)
            for name in (ORDERED, SKIPPING):
                keyed = [Message(b"%d %d" % (n, 1 if n == 0 else 0), key=key) for n in range(count) for key in KEYS]
                self.outbox.publish_many(session, name, keyed)
            for name in ("once", "again", "staged", "granted"):
                self.outbox.enqueue_many(session, name, [Call({"name": f"{name}{n}"}) for n in range(count)])
            for n in range(count):
                self._priced.enqueue(session, name=f"priced{n}")

    def work(self) -> None:
        """Start a scheduler, again if an answer of its start is lost, and stop it when all is done."""
        scheduler = Scheduler(
            self.through,
            self.outbox,
            {"kafka": self.broker},
            jobs=[self.job],
            hooks=[self.signals],
            **{**_QUICK, **self.options},
        )
        try:
            for _ in range(3):
                try:
                    scheduler.start()
                    break
                except Exception:  # noqa: BLE001 - as an operator would: it is started again
                    continue
            wait_until(self.is_done, "the tasks are not done")
            wait_until(lambda: self.runs[0] > 0, "the job does not run")
        finally:
            assert scheduler.stop(60.0), self.signals.of(StepFailed)
            self.through.dispose()

    def rows(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(self.outbox.tasks).order_by(self.outbox.tasks.c.id)))

    def is_done(self) -> bool:
        done = (int(Status.SUCCESS), int(Status.FAILED), int(Status.CANCELLED))
        return all(row.status in done for row in self.rows())

    def judge(self, count: int = 3) -> None:
        """Assert that nothing was lost, doubled, misordered or counted twice."""
        if self.options.get("on_success") != "delete":
            self._judge_rows()
        else:
            assert {row.task_type for row in self.rows()} == {"priced"}  # they have results
        assert sorted(self.broker.arrived[f"{PLAIN}/"]) == list(range(4 * count))
        for name, key in product((ORDERED, SKIPPING), KEYS):
            assert self.broker.arrived[f"{name}/{key}"] == list(range(count)), (name, key)
        once, again = ({n: c for n, c in self.calls.items() if n.startswith(name)} for name in ("once", "again"))
        assert once == {f"once{n}": 1 for n in range(count)}
        assert again == {f"again{n}": 3 for n in range(count)}
        with self.engine.connect() as connection:
            names = connection.execute(select(self.effects.c.name)).scalars().all()
            assert sorted(names) == [f"granted{n}" for n in range(count)]
            assert connection.execute(select(self.outbox.parked_keys)).all() == []
        self._judge_flow(count)
        self._judge_events(4 * count + 2 * len(KEYS) * count + 7 * count, sum(self.broker.refused.values()) + 3 * count)

    def _judge_flow(self, count: int) -> None:
        names = [f"PRICED{n}" for n in range(count)]
        followed = {name: calls for name, calls in self.calls.items() if name.startswith("followed")}
        assert followed == {f"followed {name}": 1 for name in names}
        told = {tuple(outcome.split()[:2]): len(messages) for outcome, messages in self.broker.told.items()}
        assert told == {("success", name): 1 for name in names}

    def _judge_rows(self) -> None:
        rows = self.rows()
        assert {(row.task_type, row.status, row.schedule_log) for row in rows if row.status != Status.SUCCESS} == set()
        messages = {str(row.id): row.retry_count for row in rows if row.task_type in (PLAIN, ORDERED, SKIPPING)}
        assert {name: count for name, count in messages.items() if count} == dict(self.broker.refused)
        spent = {(row.task_type, row.retry_count) for row in rows if row.task_type in ("again", "once")}
        assert spent == {("again", 3), ("once", 1)}

    def _judge_events(self, succeeded: int, retried: int) -> None:
        assert self.signals.of(SettleFenced) == []
        assert self.signals.of(TaskFailed) == []
        settled = self.signals.of(TasksSettled)
        assert sum(event.succeeded for event in settled) == succeeded
        assert sum(event.retried for event in settled) == retried


class _Send(SimpleJob):
    def __init__(self, runs: Counter[int]) -> None:
        super().__init__("send", cron="* * * * * *", sharding_total_count=1)
        self._runs = runs

    def execute(self, ctx: Any) -> None:
        self._runs[ctx.sharding_item] += 1


def wait_until(is_so: Callable[[], bool], otherwise: str, seconds: float = _LONG_SECONDS) -> None:
    """Wait on a condition; raises AssertionError after the limit."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def live(engine: Engine, proxy: Proxy, url: URL, lost: int | None, **options: Any) -> int:
    """Live the day while the answer to commit number ``lost`` goes astray; return how many commits went by."""
    proxy.lose_nth(0)
    day = Day(engine, url, **options)
    day.outbox.tasks.metadata.create_all(engine)
    day.enqueue()
    before = proxy.commits
    proxy.lose_nth(lost or 0)
    try:
        day.work()
        day.judge()
    except Exception as error:
        raise AssertionError(f"the answer to commit {lost} was lost, of {day.options}") from error
    finally:
        proxy.lose_nth(0)
        drop_everything(engine)
    return proxy.commits - before
