"""What fails, or is slow on purpose, holds up nothing else."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from asyncflow import Message, Status
from asyncflow.errors import OptionError
from asyncflow.events import BreakerChanged, PageFetched, TasksPublished
from asyncflow.scheduler import SENT, Outcome, Record, Retry, Unavailable
from asyncflow.scheduler.publishing import delivery
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.writing import publish, publish_many
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually


class Topics(MemoryPublisher):
    """Answer Unavailable for the topics that are away; count the records of each."""

    def __init__(self, *away: str) -> None:
        super().__init__()
        self.away = set(away)
        self.offered: Counter[str] = Counter()

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        self.offered.update(record.topic for record in batch)
        super().publish(batch)
        return [Unavailable("no leader", True) if record.topic in self.away else SENT for record in batch]


def test_a_topic_that_is_away_is_left_alone_and_costs_no_attempt(application: Application, schedule: Schedule) -> None:
    application.outbox.message("invoice.issued")
    publish_many(application, 50, "invoice.issued")
    publish_many(application, 50)
    publisher = Topics("invoice.issued")
    scheduler = schedule(publisher, breaker_pause_seconds=600, max_breaker_pause_seconds=600)
    scheduler.drain()
    offered = publisher.offered["invoice.issued"]
    assert publisher.offered["user.registered"] == 50
    publish_many(application, 50)
    scheduler.drain()
    assert publisher.offered == {"user.registered": 100, "invoice.issued": offered}
    assert {row.retry_count for row in application.rows()} == {0}
    assert [(event.topic, event.state) for event in application.signals.of(BreakerChanged)] == [
        ("invoice.issued", "open")
    ]


def test_of_a_closed_topic_no_pages_are_read(application: Application, schedule: Schedule) -> None:
    publish_many(application, 5)
    scheduler = schedule(Topics("user.registered"), breaker_pause_seconds=600, max_breaker_pause_seconds=600)
    scheduler.ownership.acquire()
    waits = [scheduler.relays[0].step() for _ in range(3)]
    assert len(application.signals.of(PageFetched)) == 1
    assert waits[0] == 0
    assert min(waits[1:]) > 0


def test_a_topic_is_tried_again_with_one_message_and_then_with_all(
    application: Application, schedule: Schedule
) -> None:
    publish_many(application, 50)
    publisher = Topics("user.registered")
    scheduler = schedule(publisher)
    scheduler.ownership.acquire()
    scheduler.relays[0].step()
    now = 1000.0
    scheduler.relays[0].breakers.clock = lambda: now
    scheduler.relays[0].breakers._of_topics["user.registered"]._probe_at = 0.0
    publisher.away.clear()
    publisher.offered.clear()
    scheduler.relays[0].step()
    assert publisher.offered.total() == 1
    scheduler.drain()
    assert set(application.statuses()) == {Status.SUCCESS}


class Stalling(MemoryPublisher):
    """Answer for the first few records of a batch and for none behind them, late, as often as told."""

    def __init__(self, stalls: int) -> None:
        super().__init__()
        self.stalls = stalls
        self.delivered: Counter[str] = Counter()

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        sent = len(batch)
        if self.stalls and len(batch) > 1:
            self.stalls -= 1
            sent = len(batch) // 3
            time.sleep(0.5)
        self.delivered.update(record.topic for record in batch[:sent])
        return [SENT] * sent + [Unavailable("no answer in time")] * (len(batch) - sent)


def test_a_destination_that_stalls_in_mid_batch_shuts_no_topic(application: Application, schedule: Schedule) -> None:
    names = ["user.registered", "invoice.issued", "user.left"]
    for name in names[1:]:
        application.outbox.message(name)
    for name in names:
        publish_many(application, 20, name)
    publisher = Stalling(stalls=1)
    scheduler = schedule(publisher)
    scheduler.drain()
    assert publisher.stalls == 0
    assert publisher.delivered == dict.fromkeys(names, 20)
    assert application.signals.of(BreakerChanged) == []
    assert {row.retry_count for row in application.rows()} == {0}


class Silent(Topics):
    """Let the topics that are away answer nothing, after a while, as a client tells that knows no reason.

    It is the clock by which that is measured as well: a machine that stands still takes no time.
    """

    def __init__(self, *away: str) -> None:
        super().__init__(*away)
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        outcomes = [one if one is SENT else Unavailable("no answer in time") for one in super().publish(batch)]
        self.now += 0.1 if any(outcome is not SENT for outcome in outcomes) else 0.005
        return outcomes


def test_a_topic_that_answers_nothing_takes_a_tenth_of_the_time_of_others(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.outbox.message("invoice.issued")
    publish_many(application, 200, "invoice.issued")
    publish_many(application, 200)
    publisher = Silent("invoice.issued")
    monkeypatch.setattr(delivery, "time", publisher)
    scheduler = schedule(publisher, breaker_pause_seconds=0.01, max_breaker_pause_seconds=0.01, round_size=20)
    scheduler.relays[0].breakers.clock = publisher.perf_counter
    scheduler.ownership.acquire()
    began = time.monotonic()
    while publisher.offered["user.registered"] < 200:
        scheduler.relays[0].step()
        assert time.monotonic() - began < 120
    # Of the mixed batches of the first rounds, and of its own: each takes a tenth of a second.
    assert sum(1 for event in application.signals.of(TasksPublished) if event.sent < event.tasks) <= 4
    assert {row.retry_count for row in application.rows()} == {0}
    assert scheduler.counters().breakers["kafka"] == "closed"


def test_rate_limit_per_second_bounds_a_type_and_no_other(application: Application, schedule: Schedule) -> None:
    application.outbox.message("newsletter", rate_limit_per_second=0.01)
    publish_many(application, 20, "newsletter")
    publish_many(application, 20)
    publisher = Topics()
    schedule(publisher).drain()
    assert publisher.offered == {"newsletter": 1, "user.registered": 20}


def test_a_rate_is_shared_out_like_the_shards(application: Application, schedule: Schedule) -> None:
    application.outbox.message("newsletter", rate_limit_per_second=8)
    scheduler = schedule(instance_index=0, instance_count=4)
    scheduler.ownership.acquire()
    epochs = scheduler.ownership.epochs()
    newsletter = application.outbox.task_types["newsletter"]
    assert scheduler.relays[0]._fetcher.allowances.rate(newsletter, epochs) == 2


@pytest.mark.parametrize("rate", [0, -1, "fast", True, 1e12])
def test_a_rate_that_is_none_is_refused(rate: Any, sqlite_application: Application) -> None:
    with pytest.raises(OptionError, match=r"rate_limit_per_second is .* give 0\.001"):
        sqlite_application.outbox.message("newsletter", rate_limit_per_second=rate)


def test_fresh_messages_pass_a_crowd_of_retries(engine: Any, made: list[Any]) -> None:
    application = Application(engine, shard_count=1)
    application.outbox.message("import", retry_interval_seconds=0, max_retry_interval_seconds=0, max_retries=10**6)
    publish_many(application, 60, "import")
    fresh: list[bytes] = []

    def answer(record: Record) -> Outcome:
        if record.key == b"fresh":
            fresh.append(record.value)
            return SENT
        return Retry("not today")

    scheduler = application.scheduler(MemoryPublisher(answer), round_size=10)
    made.append(scheduler)
    scheduler.ownership.acquire()
    relay = scheduler.relays[0]
    for _ in range(8):
        relay.step()
    publish(application, task_type="import", key="fresh")
    for _ in range(2):
        relay.step()
    assert len(fresh) == 1


class MuteError(Exception):
    """Be an error that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Faulty(MemoryPublisher):
    """Do with records of the topic ``faulty`` what is given."""

    def __init__(self, do: Callable[[], Any]) -> None:
        super().__init__()
        self.do = do

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        if any(record.topic == "faulty" for record in batch):
            return [self.do() if record.topic == "faulty" else SENT for record in batch]
        return super().publish(batch)


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def not_text(*_: Any) -> Retry:
    return Retry(MuteError())  # type: ignore[arg-type]


def not_seconds(*_: Any) -> Retry:
    return Retry("wait", None)  # type: ignore[arg-type]


FAULTS: dict[str, Callable[..., Any]] = {
    "mute": raising(MuteError()),
    "exit": raising(SystemExit(3)),
    "cancelled": raising(asyncio.CancelledError()),
    "not text": not_text,
    "not seconds": not_seconds,
}


@pytest.mark.parametrize("where", ["builder", "publisher"])
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_raised_for_a_message_is_its_own_and_holds_up_no_other(
    sqlite_application: Application, sqlite_schedule: Schedule, fault: str, where: str
) -> None:
    application, do = sqlite_application, FAULTS[fault]
    declared = application.outbox.message("faulty", max_retries=0)
    if where == "builder":
        declared(do)
    with application.session() as session, session.begin():
        application.outbox.publish(session, "faulty", None if where == "builder" else 1)
    publish_many(application, 2)
    with sqlite_schedule(Faulty(do)):
        eventually(lambda: sorted(row.status for row in application.rows()) == [2, 2, 3], 60)


@pytest.mark.parametrize("returned", ["ab", {"a": 1, "b": 2}, {"a", "b"}], ids=["text", "dict", "set"])
def test_what_a_builder_returns_in_no_order_of_its_tasks_is_sent_to_nobody(
    sqlite_application: Application, sqlite_schedule: Schedule, returned: Any
) -> None:
    sqlite_application.outbox.message("built", max_retries=0)(lambda session, tasks: returned)
    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.publish_many(session, "built", [Message(None)] * 2)
    publisher = MemoryPublisher()
    sqlite_schedule(publisher).drain()
    assert publisher.records == []
    assert sqlite_application.statuses() == [Status.FAILED] * 2
