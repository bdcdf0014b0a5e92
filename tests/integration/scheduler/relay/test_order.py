"""Ordered task types: a key's messages arrive in the order of their enqueueing; a failing key parks itself alone."""

from __future__ import annotations

import itertools
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from asyncflow import Message, Scheduler, Status
from asyncflow.errors import InvalidDelayError, InvalidKeyError, InvalidPriorityError
from asyncflow.events import BreakerChanged, PublisherFailed, SettleFenced, TaskFailed, TaskRetried
from asyncflow.outbox.ids import shard_of_key
from asyncflow.scheduler import SENT, Outcome, Record, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing import delivery
from asyncflow.scheduler.publishing.waves import LaterWaves
from asyncflow.scheduler.relay import key_reader
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

MOVED = "account.moved"
NO_WAIT: dict[str, Any] = {"retry_interval_seconds": 0, "max_retry_interval_seconds": 0}


class Ledger(MemoryPublisher):
    """Keep which numbers of each key were acknowledged, in order, and the batches; ``refuse`` decides the rest."""

    def __init__(self, refuse: Callable[[str, int], Outcome | None] = lambda key, number: None) -> None:
        super().__init__()
        self.refuse = refuse
        self.arrived: dict[str, list[int]] = defaultdict(list)
        self.batches: list[list[tuple[str, int]]] = []

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        names = [((record.key or b"").decode(), int(record.value)) for record in batch]
        self.batches.append(names)
        outcomes = [self.refuse(key, number) or SENT for key, number in names]
        for (key, number), outcome in zip(names, outcomes, strict=True):
            if outcome == SENT:
                self.arrived[key].append(number)
        return outcomes


def enqueue(application: Application, key: str, *numbers: int, task_type: str = MOVED) -> list[UUID]:
    with application.session() as session, session.begin():
        messages = [Message(str(number).encode(), key=key) for number in numbers]
        return application.outbox.publish_many(session, task_type, messages)


def declare(application: Application, **options: Any) -> None:
    application.outbox.message(MOVED, ordered=True, **options)


def rounds(scheduler: Scheduler, count: int = 12) -> None:
    """Step the relay some rounds; the clock of parked keys stands wherever it stands."""
    scheduler.ownership.acquire()
    for _ in range(count):
        scheduler.relays[0].step()


def parked(application: Application) -> list[Any]:
    return application.rows(select(application.outbox.parked_keys))


def test_an_ordered_message_without_a_key_or_out_of_order_is_refused(sqlite_application: Application) -> None:
    declare(sqlite_application)
    with sqlite_application.session() as session:
        with pytest.raises(InvalidKeyError, match=r"key is None, but 'account\.moved' is ordered"):
            sqlite_application.outbox.publish(session, MOVED, {})
        with pytest.raises(InvalidPriorityError, match="ordered; leave it out"):
            sqlite_application.outbox.publish(session, MOVED, {}, key="A", priority=1)
        with pytest.raises(InvalidDelayError, match="ordered; leave it out"):
            sqlite_application.outbox.publish(session, MOVED, {}, key="A", delay_seconds=1)
        assert not session.new


def test_all_messages_of_a_key_are_in_one_shard_the_same_in_every_process(sqlite_application: Application) -> None:
    declare(sqlite_application)
    enqueue(sqlite_application, "A1001", 1, 2, 3)
    # CRC-32, so that producers in other languages can compute it.
    assert {row.shard for row in sqlite_application.rows()} == {zlib.crc32(b"A1001") % 64}


def test_a_batch_never_holds_two_messages_of_a_key(application: Application, schedule: Schedule) -> None:
    declare(application)
    for key in "ABC":
        enqueue(application, key, 1, 2, 3, 4)
    ledger = Ledger()
    schedule(ledger).drain()
    assert ledger.arrived == {key: [1, 2, 3, 4] for key in "ABC"}
    assert all(len({key for key, _ in batch}) == len(batch) for batch in ledger.batches)


def test_a_failing_key_parks_itself_alone_and_its_order_holds(application: Application, schedule: Schedule) -> None:
    declare(application, **NO_WAIT)
    failures = {"left": 3}

    def refuse(key: str, number: int) -> Outcome | None:
        if (key, number) == ("A", 1) and failures["left"]:
            failures["left"] -= 1
            return Retry("not today")
        return None

    ledger = Ledger(refuse)
    scheduler = schedule(ledger)
    enqueue(application, "A", 1, 2)
    enqueue(application, "B", 1, 2)
    rounds(scheduler, 1)
    assert ledger.arrived == {"B": [1, 2]}
    assert [row.task_key for row in parked(application)] == ["A"]
    enqueue(application, "A", 3, 4)
    enqueue(application, "B", 3)
    rounds(scheduler)
    assert ledger.arrived == {"A": [1, 2, 3, 4], "B": [1, 2, 3]}
    assert parked(application) == []
    assert set(application.statuses()) == {Status.SUCCESS}


def test_a_parked_key_waits_its_retry_interval(application: Application, schedule: Schedule) -> None:
    declare(application, retry_interval_seconds=600, max_retry_interval_seconds=600)
    ledger = Ledger(lambda key, number: Retry("no") if key == "A" else None)
    scheduler = schedule(ledger)
    enqueue(application, "A", 1, 2, 3)
    rounds(scheduler)
    enqueue(application, "A", 4)
    rounds(scheduler)
    assert [batch for batch in ledger.batches if batch[0][0] == "A"] == [[("A", 1)]]
    assert [row.retry_count for row in application.rows()] == [1, 0, 0, 0]
    assert 500 < scheduler.relays[0]._parking.seconds_until_due(lambda _: 0.0) <= 600


def test_another_owner_knows_the_parked_keys(application: Application, schedule: Schedule) -> None:
    declare(application, retry_interval_seconds=600, max_retry_interval_seconds=600)
    first = schedule(Ledger(lambda key, number: Retry("no") if key == "A" else None))
    enqueue(application, "A", 1)
    rounds(first)
    first.stop()
    enqueue(application, "A", 2)
    enqueue(application, "B", 1)
    ledger = Ledger()
    second = schedule(ledger)
    rounds(second)
    assert ledger.arrived == {"B": [1]}
    with application.engine.begin() as connection:
        past = "'2020-01-01 00:00:00.000000'"
        connection.execute(text(f"UPDATE {application.outbox.parked_keys.fullname} SET due={past}"))
    second.stop()
    ledger = Ledger()
    rounds(schedule(ledger))
    assert ledger.arrived == {"A": [1, 2]}


def test_a_key_blocked_by_a_dead_letter_goes_on_when_it_is_replayed(
    application: Application, schedule: Schedule
) -> None:
    declare(application, max_retries=0)
    ledger = Ledger(lambda key, number: Rejected("too large") if (key, number) == ("A", 1) else None)
    scheduler = schedule(ledger)
    first, *_ = enqueue(application, "A", 1, 2)
    enqueue(application, "B", 1)
    rounds(scheduler)
    assert ledger.arrived == {"B": [1]}
    assert [(row.due, row.blocked_by) for row in parked(application)] == [(None, first)]
    ledger.refuse = lambda key, number: None
    revive(application, first)
    look_at_blocked(scheduler)
    rounds(scheduler)
    assert ledger.arrived["A"] == [1, 2]
    assert parked(application) == []


def test_a_replayed_dead_letter_is_passed_by_none_though_others_went_before_it(
    application: Application, schedule: Schedule
) -> None:
    declare(application, **NO_WAIT)
    once = iter([Retry("once")])
    answers: dict[int, Callable[[], Outcome | None]] = {1: lambda: next(once, None), 2: lambda: Rejected("too large")}
    ledger = Ledger(lambda key, number: answers.get(number, lambda: None)())
    scheduler = schedule(ledger)
    _, second, _ = (task_id for number in (1, 2, 3) for task_id in enqueue(application, "A", number))
    rounds(scheduler)
    assert ledger.arrived == {"A": [1]}
    del answers[2]
    revive(application, second)
    look_at_blocked(scheduler)
    rounds(scheduler)
    assert ledger.arrived == {"A": [1, 2, 3]}
    assert parked(application) == []


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.SUCCESS, None])
def test_a_key_goes_on_when_its_dead_letter_is_taken_away(
    status: Status | None, application: Application, schedule: Schedule
) -> None:
    declare(application)
    ledger = Ledger(lambda key, number: Rejected("too large") if number == 1 else None)
    scheduler = schedule(ledger)
    first, *_ = enqueue(application, "A", 1, 2, 3)
    rounds(scheduler)
    assert ledger.arrived == {}
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        if status is None:
            connection.execute(tasks.delete().where(tasks.c.id == first))
        else:
            connection.execute(update(tasks).where(tasks.c.id == first).values(status=int(status)))
    look_at_blocked(scheduler)
    rounds(scheduler)
    assert ledger.arrived == {"A": [2, 3]}


def test_a_key_that_skips_goes_on_behind_its_dead_letter(application: Application, schedule: Schedule) -> None:
    declare(application, max_retries=2, when_exhausted="skip", **NO_WAIT)
    ledger = Ledger(lambda key, number: Retry("never") if number == 2 else None)
    enqueue(application, "A", 1, 2, 3, 4)
    rounds(schedule(ledger))
    assert ledger.arrived == {"A": [1, 3, 4]}
    assert sum(batch.count(("A", 2)) for batch in ledger.batches) == 3
    assert len(application.signals.of(TaskFailed)) == 1


def test_an_unavailable_destination_parks_no_key_and_lets_none_overtake(
    application: Application, schedule: Schedule
) -> None:
    declare(application)
    ledger = Ledger(lambda key, number: Unavailable("away") if (key, number) == ("A", 2) else None)
    scheduler = schedule(ledger, breaker_pause_seconds=0.001, max_breaker_pause_seconds=0.001)
    enqueue(application, "A", 1, 2, 3)
    scheduler.ownership.acquire()
    scheduler.relays[0].step()
    assert ledger.arrived == {"A": [1]}
    assert parked(application) == []
    assert [row.retry_count for row in application.rows()] == [0, 0, 0]
    ledger.refuse = lambda key, number: None
    scheduler.drain()
    assert ledger.arrived == {"A": [1, 2, 3]}


def test_more_rows_of_a_key_than_a_round_takes_stay_in_order(application: Application, schedule: Schedule) -> None:
    declare(application, **NO_WAIT)
    once = iter([Retry("once")])
    ledger = Ledger(lambda key, number: next(once, None) if number == 5 else None)
    enqueue(application, "A", *range(100))
    rounds(schedule(ledger), 30)
    assert ledger.arrived == {"A": list(range(100))}
    assert parked(application) == []


def draw_an_earlier_turn(application: Application, *task_ids: UUID) -> None:
    """Let the tasks be some whose transaction enqueued them first and committed them last."""
    earlier, tasks = text("'2020-01-01 00:00:00.000000'"), application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id.in_(task_ids)).values(created_at=earlier, order_time=earlier))


def test_a_row_that_commits_late_with_an_early_time_is_not_lost_behind_its_parked_key(
    application: Application, schedule: Schedule
) -> None:
    declare(application, **NO_WAIT)
    ledger = Ledger(lambda key, number: Retry("no"))
    scheduler = schedule(ledger)
    enqueue(application, "A", 2)
    rounds(scheduler, 2)
    draw_an_earlier_turn(application, *enqueue(application, "A", 1))
    rounds(scheduler, 2)
    ledger.refuse = lambda key, number: None
    rounds(scheduler)
    assert ledger.arrived == {"A": [1, 2]}


def test_a_row_that_commits_late_is_passed_by_none_of_its_key_once_a_page_holds_it(
    application: Application, schedule: Schedule
) -> None:
    declare(application, **NO_WAIT)
    ledger = Ledger(lambda key, number: Retry("no"))
    scheduler = schedule(ledger)
    enqueue(application, "A", 2, 3)
    rounds(scheduler, 2)
    draw_an_earlier_turn(application, *enqueue(application, "A", 1))
    enqueue(application, "A", 4)
    ledger.refuse = lambda key, number: None
    rounds(scheduler)
    assert ledger.arrived == {"A": [1, 2, 3, 4]}
    assert parked(application) == []


@pytest.mark.parametrize("outcome", [Retry("no"), Unavailable("gone for a moment")])
def test_a_row_that_commits_late_and_is_held_up_is_passed_by_none_of_its_key(
    outcome: Outcome, application: Application, schedule: Schedule
) -> None:
    declare(application, **NO_WAIT)
    ledger = Ledger(lambda key, number: Retry("no"))
    scheduler = schedule(ledger, breaker_pause_seconds=0.01, max_breaker_pause_seconds=0.01)
    enqueue(application, "A", 3, 4)
    rounds(scheduler, 2)
    draw_an_earlier_turn(application, *enqueue(application, "A", 1, 2))
    refusals = iter([outcome, outcome])
    ledger.refuse = lambda key, number: next(refusals, None) if number == 2 else None
    rounds(scheduler, 2)
    enqueue(application, "A", 5)
    eventually(lambda: scheduler.relays[0].step() >= 0 and len(ledger.arrived["A"]) == 5)
    assert ledger.arrived == {"A": [1, 2, 3, 4, 5]}
    assert parked(application) == []


def test_a_row_that_commits_late_while_its_key_goes_on_is_not_left_aside(
    application: Application, schedule: Schedule
) -> None:
    declare(application, **NO_WAIT)
    ledger = Ledger(lambda key, number: Retry("no"))
    scheduler = schedule(ledger)
    enqueue(application, "A", 2, 3)
    rounds(scheduler, 2)
    draw_an_earlier_turn(application, *enqueue(application, "A", 1))
    ledger.refuse = lambda key, number: None
    rounds(scheduler, 1)
    enqueue(application, "A", 4)
    rounds(scheduler)
    assert ledger.arrived == {"A": [1, 2, 3, 4]}
    assert parked(application) == []


def test_no_key_is_released_over_the_head_of_a_row_that_stands_aside(
    application: Application, schedule: Schedule
) -> None:
    declare(application, **NO_WAIT)
    ledger = Ledger(lambda key, number: Retry("no"))
    scheduler = schedule(ledger)
    enqueue(application, "A", 1)
    rounds(scheduler, 2)

    def set_one_aside(key: str, number: int) -> None:
        if number == 1:
            (behind,) = enqueue(application, "A", 2)
            far, tasks = text("'2999-01-01 00:00:00.000000'"), application.outbox.tasks
            with application.engine.begin() as connection:
                connection.execute(update(tasks).where(tasks.c.id == behind).values(order_time=far))

    ledger.refuse = set_one_aside
    rounds(scheduler, 1)
    assert [row.task_key for row in parked(application)] == ["A"]
    enqueue(application, "A", 3)
    rounds(scheduler)
    assert ledger.arrived == {"A": [1, 2, 3]}
    assert parked(application) == []


def test_a_late_owner_parks_nothing(application: Application, schedule: Schedule) -> None:
    declare(application)
    other = schedule(Ledger(), instance_index=0, instance_count=1)

    def seize(key: str, number: int) -> Outcome:
        other.ownership.acquire()
        return Retry("no")

    scheduler = schedule(Ledger(seize))
    enqueue(application, "A", 1, 2)
    rounds(scheduler, 1)
    assert parked(application) == []
    assert application.signals.of(SettleFenced)
    assert [row.retry_count for row in application.rows()] == [0, 0]


def revive(application: Application, task_id: UUID) -> None:
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id == task_id).values(status=0, retry_count=0))


def look_at_blocked(scheduler: Scheduler) -> None:
    scheduler.relays[0]._parking._look_at_blocked_at = 0.0


def neighbours_of(key: str, count: int, shard_count: int) -> list[str]:
    shard = shard_of_key(key, shard_count)
    others = (f"n{number}" for number in itertools.count())
    return list(itertools.islice((one for one in others if shard_of_key(one, shard_count) == shard), count))


@pytest.mark.parametrize("round_size", [20, 2000])
def test_a_key_with_a_backlog_holds_up_no_other_key_of_its_shard(
    round_size: int, application: Application, schedule: Schedule
) -> None:
    declare(application)
    enqueue(application, "hot", *range(1500))
    neighbours = neighbours_of("hot", 5, application.outbox.shard_count)
    for key in neighbours:
        enqueue(application, key, 1, 2)
    ledger = Ledger()
    scheduler = schedule(ledger, round_size=round_size)
    rounds(scheduler, 8)
    assert {key: ledger.arrived[key] for key in neighbours} == {key: [1, 2] for key in neighbours}
    assert len(ledger.arrived["hot"]) < 1500
    enqueue(application, "hot", 1500)
    enqueue(application, neighbours[0], 3)
    rounds(scheduler, 2)
    assert ledger.arrived[neighbours[0]] == [1, 2, 3]
    scheduler.drain()
    assert ledger.arrived["hot"] == list(range(1501))
    assert parked(application) == []


def test_a_key_with_a_backlog_goes_on_in_order_with_another_owner(application: Application, schedule: Schedule) -> None:
    declare(application)
    enqueue(application, "hot", *range(1000))
    ledger = Ledger()
    first = schedule(ledger, round_size=20)
    rounds(first, 4)
    first.stop()
    assert [row.task_key for row in parked(application)] == ["hot"]
    enqueue(application, "hot", 1000)
    schedule(ledger, round_size=20).drain()
    assert ledger.arrived["hot"] == list(range(1001))


def test_a_key_with_a_backlog_goes_on_with_another_owner_though_the_clock_was_set_back(
    application: Application, schedule: Schedule
) -> None:
    declare(application, **NO_WAIT)
    enqueue(application, "hot", *range(200))
    ledger = Ledger()
    first = schedule(ledger, round_size=40)
    rounds(first, 2)
    first.stop()
    (key,) = parked(application)
    before = len(ledger.arrived["hot"])
    an_hour_later = key.due - datetime.now(timezone.utc) + timedelta(hours=1)  # by the clock as it is now
    with application.engine.begin() as connection:
        connection.execute(update(application.outbox.parked_keys).values(due=an_hour_later))
    second = schedule(ledger, round_size=40)
    rounds(second, 3)
    assert len(ledger.arrived["hot"]) > before
    second.drain()
    assert ledger.arrived == {"hot": list(range(200))}


def test_a_key_with_a_backlog_waits_for_its_retry_like_any_other(application: Application, schedule: Schedule) -> None:
    declare(application, retry_interval_seconds=600, max_retry_interval_seconds=600)
    enqueue(application, "hot", *range(200))
    (neighbour,) = neighbours_of("hot", 1, application.outbox.shard_count)
    enqueue(application, neighbour, 1)
    ledger = Ledger(lambda key, number: Retry("no") if (key, number) == ("hot", 0) else None)
    rounds(schedule(ledger, round_size=20), 12)
    assert ledger.arrived == {neighbour: [1]}
    assert sum(("hot", 0) in batch for batch in ledger.batches) == 1


@pytest.mark.parametrize("number", [0, 3])
def test_a_key_with_a_backlog_begins_with_what_no_broker_answered(
    number: int, application: Application, schedule: Schedule
) -> None:
    declare(application)
    enqueue(application, "hot", *range(200))
    answers = itertools.count()
    ledger = Ledger(lambda key, its_number: Unavailable("gone") if its_number == number and next(answers) < 2 else None)
    schedule(ledger, round_size=20, breaker_pause_seconds=0.01, max_breaker_pause_seconds=0.01).start()
    eventually(lambda: len(ledger.arrived["hot"]) >= 200)
    assert ledger.arrived["hot"] == list(range(200))


class Slowing(Ledger):
    """Take half a second an acknowledgement by its own clock, once ``left`` more of "hot" went: ``then`` is called."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.now, self.left, self.is_slow = 0.0, 0, False
        self._then = then

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        self.left -= any(record.key == b"hot" for record in batch)
        if self.left == 0:
            self.is_slow = True
            self._then()
        self.now += 0.5 * self.is_slow
        return super().publish(batch)


def test_a_destination_that_becomes_slow_within_a_round_ends_it_and_neighbours_go(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(application)
    enqueue(application, "hot", *range(600))
    (neighbour,) = neighbours_of("hot", 1, application.outbox.shard_count)
    publisher = Slowing(lambda: enqueue(application, neighbour, 1))
    monkeypatch.setattr(delivery, "LaterWaves", partial(LaterWaves, clock=lambda: publisher.now))
    scheduler = schedule(publisher)
    scheduler.ownership.acquire()
    before = 0
    while not publisher.is_slow:
        before, publisher.left = len(publisher.arrived["hot"]), 100  # rows: more than a round had at first
        scheduler.relays[0].step()
    assert len(publisher.arrived["hot"]) == before + 102  # the hundredth was slow, and two more
    while neighbour not in publisher.arrived:
        scheduler.relays[0].step()
    assert publisher.now < 10
    publisher.is_slow = False
    scheduler.drain()
    assert publisher.arrived == {"hot": list(range(600)), neighbour: [1]}
    assert {(row.status, row.retry_count, row.schedule_log) for row in application.rows()} == {
        (Status.SUCCESS, 0, None)
    }
    troubles = (TaskFailed, TaskRetried, PublisherFailed, BreakerChanged, SettleFenced)
    assert [event for event in application.signals.events if isinstance(event, troubles)] == []
    assert parked(application) == []


def test_what_a_round_had_no_time_for_is_neither_set_aside_nor_passed(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(application)
    publisher = Slowing()
    publisher.is_slow = True
    monkeypatch.setattr(delivery, "LaterWaves", partial(LaterWaves, clock=lambda: publisher.now))
    scheduler = schedule(publisher)
    enqueue(application, "A", *range(10))
    enqueue(application, "B", 1)
    rounds(scheduler, 1)
    assert publisher.arrived == {"A": [0, 1, 2, 3], "B": [1]}
    assert {(row.status, row.retry_count) for row in application.rows()} == {(Status.SUCCESS, 0), (Status.PENDING, 0)}
    assert parked(application) == []
    enqueue(application, "A", 10)
    scheduler.drain()
    assert publisher.arrived == {"A": list(range(11)), "B": [1]}


@pytest.mark.parametrize("options", [{"limit": 3}, {"rate_limit_per_second": 200}])
def test_a_key_with_a_backlog_begins_with_what_a_limit_left(
    options: dict[str, Any], application: Application, schedule: Schedule
) -> None:
    declare(application, **options)
    enqueue(application, "hot", *range(100))
    ledger = Ledger()
    schedule(ledger, round_size=20).start()
    eventually(lambda: len(ledger.arrived["hot"]) >= 100)
    assert ledger.arrived["hot"] == list(range(100))


@pytest.mark.parametrize("options", [{"limit": 1}, {"limit": 3}])
def test_a_parked_key_has_its_part_of_a_limit(
    options: dict[str, Any], application: Application, schedule: Schedule
) -> None:
    declare(application, **options, **NO_WAIT)
    once = iter([Retry("once")])
    ledger = Ledger(lambda key, number: next(once, None) if key == "late" else None)
    enqueue(application, "late", 1, 2)
    scheduler = schedule(ledger)
    rounds(scheduler, 1)
    for number in range(60):
        enqueue(application, f"k{number}", number)
    rounds(scheduler, 8)
    assert ledger.arrived["late"] == [1, 2]
    assert len(ledger.arrived) > 2


def test_keys_with_backlogs_hold_up_no_other_parked_key(
    sqlite_application: Application, made: list[Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_reader, "_MOST_KEYS", 2)
    application, ledger = sqlite_application, Ledger(lambda key, number: Retry("not yet"))
    declare(application, **NO_WAIT)
    application.outbox.message("other.moved", ordered=True, **NO_WAIT)
    for key in ("a", "b", "c"):
        enqueue(application, key, *range(300))
    scheduler = application.scheduler(ledger)
    made.append(scheduler)
    rounds(scheduler, 4)
    enqueue(application, "d", 1, 2)
    enqueue(application, "e", 1, 2, task_type="other.moved")
    rounds(scheduler, 4)
    assert {row.task_key for row in parked(application)} == {"a", "b", "c", "d", "e"}
    ledger.refuse = lambda key, number: None
    rounds(scheduler, 4)
    assert ledger.arrived["d"] == ledger.arrived["e"] == [1, 2]
    assert min(len(ledger.arrived[key]) for key in "abc") > 0
    assert all(ledger.arrived[key] == list(range(len(ledger.arrived[key]))) for key in "abc")


def test_a_key_in_the_way_slows_no_other_parked_key(sqlite_application: Application, made: list[Scheduler]) -> None:
    application, ledger = sqlite_application, Ledger()
    declare(application, max_retries=1000, **NO_WAIT)
    (other,) = neighbours_of("hot", 1, application.outbox.shard_count)
    ledger.refuse = lambda key, number: Retry("not yet") if key == other else None
    enqueue(application, other, *range(20))
    scheduler = application.scheduler(ledger, round_size=20)
    made.append(scheduler)
    rounds(scheduler, 1)
    enqueue(application, "hot", *range(6000))
    rounds(scheduler, 1)
    assert {row.task_key for row in parked(application)} == {"hot", other}
    sent = len(ledger.arrived["hot"])
    ledger.refuse = lambda key, number: None
    rounds(scheduler, 1)
    assert ledger.arrived[other] == list(range(20))
    assert len(ledger.arrived["hot"]) == sent + 1  # it is in the way still


def test_a_parked_key_that_is_due_is_tried_while_the_search_for_others_rests(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    declare(sqlite_application, **NO_WAIT)
    refusals = iter([Retry("not yet")])
    ledger = Ledger(lambda key, number: next(refusals, None))
    scheduler = sqlite_schedule(ledger)
    enqueue(sqlite_application, "A", 1, 2)
    rounds(scheduler, 1)
    assert [row.task_key for row in parked(sqlite_application)] == ["A"]
    recent = scheduler.relays[0]._fetcher._recent
    recent.forget()
    recent._next_search_at = float("inf")  # as after a long one in vain, through many lanes
    rounds(scheduler, 3)
    assert ledger.arrived == {"A": [1, 2]}
