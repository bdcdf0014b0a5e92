"""The neighbours of a hot key: found by one walk over its rows, delivered in several rounds, each key in its order."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from asyncflow import Message, Scheduler
from asyncflow.outbox import Task
from asyncflow.outbox.ids import shard_of_key
from asyncflow.scheduler import SENT, Retry, Unavailable
from asyncflow.scheduler.relay.keys import neighbours
from asyncflow.scheduler.table.queries import ASIDE, MOST_AHEAD
from tests.integration.conftest import Schedule
from tests.integration.scheduler.relay.test_order import (
    MOVED,
    NO_WAIT,
    Ledger,
    declare,
    enqueue,
    neighbours_of,
    parked,
    rounds,
)
from tests.support.application import Application

ROWS, COUNT, EACH, ROUND_SIZE = 1500, 5, 40, 40


@contextmanager
def walks(engine: Engine) -> Iterator[list[str]]:
    """Give the statements that walk over the rows of hot keys."""
    found: list[str] = []

    def note(_: Any, __: Any, statement: str, *rest: Any) -> None:
        if "NOT IN" in statement:
            found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def crowd(application: Application, **options: Any) -> list[str]:
    """Enqueue the many of a hot key, and behind them some of each of its neighbours, whose keys are returned."""
    declare(application, **{**NO_WAIT, **options})
    return enqueue_crowd(application)


def enqueue_crowd(application: Application) -> list[str]:
    enqueue(application, "hot", *range(ROWS))
    keys = neighbours_of("hot", COUNT, application.outbox.shard_count)
    for number in range(EACH):
        with application.engine.begin() as connection:
            application.outbox.publish_many(connection, MOVED, [Message(str(number).encode(), key=key) for key in keys])
    return keys


def rounds_until(scheduler: Scheduler, ledger: Ledger, keys: list[str], count: int = EACH) -> int:
    """Step until all of the keys have so many; return how many rounds that took."""
    scheduler.ownership.acquire()
    for number in itertools.count(1):
        scheduler.relays[0].step()
        if all(len(ledger.arrived[key]) >= count for key in keys):
            return number
        assert number < 300, {key: len(ledger.arrived[key]) for key in keys}
    raise AssertionError("unreachable")


def test_one_walk_finds_what_goes_in_several_rounds(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_KNOWN_FOR_SECONDS", 600.0)  # a machine may stand still
    keys, ledger = crowd(application), Ledger()
    with walks(application.engine) as walked:
        assert rounds_until(schedule(ledger, round_size=ROUND_SIZE), ledger, keys) >= COUNT * EACH // ROUND_SIZE
    assert len(walked) == 1
    assert all(ledger.arrived[key] == list(range(EACH)) for key in keys)
    hot = ledger.arrived["hot"]
    assert hot == list(range(len(hot)))
    assert len(hot) < ROWS


def test_while_neighbours_are_known_to_wait_a_hot_key_lengthens_no_round_and_few_of_its_rows_are_written(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_KNOWN_FOR_SECONDS", 600.0)  # a machine may stand still
    keys, ledger = crowd(application), Ledger()
    scheduler = schedule(ledger, round_size=ROUND_SIZE)
    for _ in range(COUNT * EACH // ROUND_SIZE - 1):
        before = len(ledger.batches)
        rounds(scheduler, 1)
        waves = ledger.batches[before:]
        counts = Counter(key for wave in waves for key, _ in wave)
        assert counts == dict.fromkeys([*keys, "hot"], ROUND_SIZE // COUNT)  # it goes along
        assert len(waves) == ROUND_SIZE // COUNT
    aside = [row for row in application.rows() if row.order_time - row.created_at > MOST_AHEAD]
    assert len(aside) <= ROUND_SIZE


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)  # where two may write at once
def test_what_a_hot_key_commits_late_goes_before_what_it_wrote_afterwards_though_its_rows_are_left_in_the_pages(
    application: Application, schedule: Schedule
) -> None:
    declare(application)
    late = application.engine.connect()
    application.outbox.publish(late, MOVED, b"-1", key="hot")  # has its turn now, before all others
    keys, ledger = enqueue_crowd(application), Ledger()
    scheduler = schedule(ledger, round_size=ROUND_SIZE)
    rounds(scheduler, 2)
    sent = len(ledger.arrived["hot"])
    late.commit()
    late.close()
    rounds(scheduler, 2)
    arrived = ledger.arrived["hot"]
    assert arrived[:sent] == list(range(sent))
    assert arrived[sent:] == [-1, *range(sent, len(arrived) - 1)]
    assert len(arrived) > sent + 1
    scheduler.drain()
    assert ledger.arrived["hot"] == [*range(sent), -1, *range(sent, ROWS)]
    assert all(ledger.arrived[key] == list(range(EACH)) for key in keys)
    assert parked(application) == []


@pytest.mark.parametrize("outcome", [Retry("once"), Unavailable("gone for a moment")])
def test_a_neighbour_that_is_held_up_between_two_rounds_keeps_its_order(
    outcome: Any, application: Application, schedule: Schedule
) -> None:
    keys = crowd(application, max_retries=5)
    refusals = iter([outcome, outcome])
    ledger = Ledger(lambda key, number: next(refusals, None) if (key, number) == (keys[0], 9) else None)
    quick = {"breaker_pause_seconds": 0.01, "max_breaker_pause_seconds": 0.01}
    scheduler = schedule(ledger, round_size=ROUND_SIZE, **quick)
    rounds_until(scheduler, ledger, keys)
    scheduler.drain()
    assert ledger.arrived == {"hot": list(range(ROWS)), **{key: list(range(EACH)) for key in keys}}
    assert parked(application) == []


@pytest.mark.parametrize("options", [{"limit": 3}, {"rate_limit_per_second": 2000}])
def test_neighbours_of_which_a_limit_leaves_some_keep_their_order(
    options: dict[str, Any], application: Application, schedule: Schedule
) -> None:
    keys, ledger = crowd(application, **options), Ledger()
    rounds_until(schedule(ledger, round_size=ROUND_SIZE), ledger, keys, count=6)
    assert all(ledger.arrived[key] == list(range(len(ledger.arrived[key]))) for key in keys)


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)  # where two may write at once
def test_what_commits_late_goes_before_what_its_key_wrote_afterwards(
    application: Application, schedule: Schedule
) -> None:
    """Though others of that key, which were found before, go in the meantime."""
    declare(application)
    (key,) = neighbours_of("hot", 1, application.outbox.shard_count)
    late = application.engine.connect()
    application.outbox.publish(late, MOVED, b"1000", key=key)  # has its turn now, before all others
    enqueue(application, "hot", *range(ROWS))
    enqueue(application, key, *range(EACH))
    ledger = Ledger()
    scheduler = schedule(ledger, round_size=ROUND_SIZE)
    rounds(scheduler, 2)
    late.commit()
    late.close()
    enqueue(application, key, 1001)
    scheduler.drain()
    arrived = ledger.arrived[key]
    assert sorted(arrived) == [*range(EACH), 1000, 1001]
    assert [one for one in arrived if one < 1000] == list(range(EACH))
    assert arrived.index(1000) < arrived.index(1001) == len(arrived) - 1


def test_nothing_passes_a_row_of_its_key_that_was_changed_since_it_was_found(sqlite_application: Application) -> None:
    tasks, keys = sqlite_application.outbox.tasks, crowd(sqlite_application)
    shard = shard_of_key("hot", sqlite_application.outbox.shard_count)
    found = neighbours.Neighbours(tasks, clock=lambda: 0.0)

    def read(limit: int) -> list[Task]:
        with sqlite_application.engine.connect() as connection:
            return found.read(connection, {(MOVED, shard): {"hot"}}, {shard: 1}, limit)

    first = read(COUNT)
    assert [(task.key, task.payload) for task in first] == [(key, b"0") for key in keys]
    found.observe(first, [SENT] * COUNT)
    with sqlite_application.engine.begin() as connection:
        is_next = (tasks.c.task_key == keys[0]) & (tasks.c.payload == b"1")
        assert connection.execute(update(tasks).where(is_next).values(order_time=ASIDE)).rowcount == 1
    others = [(key, str(number).encode()) for number in range(1, EACH) for key in keys[1:]]
    assert [(task.key, task.payload) for task in read(COUNT * EACH)] == others


def test_a_shard_that_was_anothers_meanwhile_is_walked_over_anew(application: Application, schedule: Schedule) -> None:
    keys, first, second = crowd(application), Ledger(), Ledger()
    scheduler = schedule(first, round_size=ROUND_SIZE)
    rounds(scheduler, 2)
    scheduler.stop()
    rounds_until(schedule(second, round_size=ROUND_SIZE), second, keys, count=1)
    for key in keys:
        both = [*first.arrived[key], *second.arrived[key]]
        assert both == list(range(len(both)))
