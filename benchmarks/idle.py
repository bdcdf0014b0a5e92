"""Statements a second that an idle instance sends, by the database's own counter."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import text

from asyncflow import Outbox, Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from benchmarks.figure import Figure, Goal
from benchmarks.ground import GROUNDS, Ground
from benchmarks.instances import questions
from benchmarks.plan import Plan

_TYPES = 10  # half of them messages, half of them tasks
_SETTLING_SECONDS = 6.0  # until the pauses have grown
_GOAL = Goal(text="<= 2 a second", most_value=2)


def idle(plan: Plan) -> list[Figure]:
    """Measure both databases: MariaDB counts statements, PostgreSQL the transactions of a database."""
    part = plan.part(1 / 4)
    return [
        _measure("postgresql", _transactions, "transactions/s", part),
        _measure("mariadb", questions, "statements/s", part),
    ]


def _measure(database: str, counter: Callable[[Ground], int], unit: str, plan: Plan) -> Figure:
    with GROUNDS[database]() as ground:
        declare_types(ground.outbox)
        without = _rate(ground, counter, plan.seconds)
        with Scheduler(ground.engine, ground.outbox, {"kafka": ConfluentKafkaPublisher(ground.kafka)}):
            time.sleep(min(_SETTLING_SECONDS, plan.seconds))
            found = max(0.0, _rate(ground, counter, plan.seconds) - without)
    return Figure(
        name=f"{database}, {_TYPES} task types",
        value=found,
        unit=unit,
        beside="",
        beside_value=0.0,
        ratio=0.0,
        rounds=1,
        goal=_GOAL,
        where="one look at what is due and who is there, and the renewal of the leases",
        details={"others' statements a second, subtracted": without, "seconds": plan.seconds},
    )


def declare_types(outbox: Outbox) -> None:
    """Declare ten types more or less: half of them messages, half of them tasks."""
    for number in range(_TYPES // 2):
        outbox.message(f"idle.message.{number}")
        outbox.task(f"idle.task.{number}")(lambda: None)


def _rate(ground: Ground, counter: Callable[[Ground], int], seconds: float) -> float:
    """Return the counter's rise a second, without what reading it costs: the same in both of two rates."""
    before, began = counter(ground), time.perf_counter()
    time.sleep(seconds)
    return (counter(ground) - before) / (time.perf_counter() - began)


def _transactions(ground: Ground) -> int:
    with ground.filling.connect() as connection:
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        found = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.execute(text(found)).scalar_one())
