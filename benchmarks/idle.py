"""Statements a second that an idle instance sends, by the database's own counter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from asyncflow import Outbox, Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from benchmarks.figure import Figure, Goal
from benchmarks.ground import GROUNDS, Ground
from benchmarks.plan import Plan

_TYPES = 10  # half of them messages, half of them tasks
_SETTLING_SECONDS = 6.0  # until the pauses have grown
Counter = Callable[[Ground, Callable[[], None]], float]
_GOAL = Goal(text="<= 2 a second", most_value=2)


def idle(plan: Plan) -> list[Figure]:
    """Measure both databases: MariaDB counts statements, PostgreSQL the transactions of a database."""
    part = plan.part(1 / 2)
    return [
        _measure("postgresql", _transactions, "transactions/s", part),
        _measure("mariadb", _questions, "statements/s", part),
    ]


def _measure(database: str, count: Counter, unit: str, plan: Plan) -> Figure:
    """Count a short life and a long one: the difference is what idling took, without start and stop."""
    short = min(_SETTLING_SECONDS, plan.seconds)
    long = short + plan.seconds
    short_count, long_count = (_count_life(database, count, seconds) for seconds in (short, long))
    return Figure(
        name=f"{database}, {_TYPES} task types",
        value=(long_count - short_count) / (long - short),
        unit=unit,
        beside="",
        beside_value=0.0,
        ratio=0.0,
        rounds=1,
        goal=_GOAL,
        where="the look at what is due and at the other instances, and the renewal of the leases",
        details={"seconds": long - short},
    )


def _count_life(database: str, count: Counter, seconds: float) -> float:
    with GROUNDS[database]() as ground:
        declare_types(ground.outbox)
        scheduler = Scheduler(ground.engine, ground.outbox, {"kafka": ConfluentKafkaPublisher(ground.kafka)})
        return count(ground, lambda: _live(scheduler, seconds))


def _live(scheduler: Scheduler, seconds: float) -> None:
    with scheduler:
        time.sleep(seconds)


def declare_types(outbox: Outbox) -> None:
    """Declare ten types more or less: half of them messages, half of them tasks."""
    for number in range(_TYPES // 2):
        outbox.message(f"idle.message.{number}")
        outbox.task(f"idle.task.{number}")(lambda: None)


def _questions(ground: Ground, live: Callable[[], None]) -> int:
    """Return the statements of all connections of the engine, as each tells of itself before it is closed."""
    counts: list[int] = []

    def ask(driver_connection: Any, _: Any) -> None:
        with driver_connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Questions'")
            counts.append(int(cursor.fetchone()[1]))

    ground.engine.dispose()
    event.listen(ground.engine, "close", ask)
    live()
    ground.engine.dispose()
    return sum(counts)


def _transactions(ground: Ground, live: Callable[[], None]) -> int:
    """Return how many transactions the database has seen; a connection reports its own by its end at the latest."""

    def read() -> int:
        return int(
            ground.ask("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
        )

    ground.engine.dispose()
    before = read()
    live()
    ground.engine.dispose()
    return read() - before
