"""The task service and its workers over HTTP, while both are killed: nothing lost, no effect twice, one live claim."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping

import pytest
from sqlalchemy import Engine, select

from asyncflow import Call, Status
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_mariadb
from tests.chaos.remote_work import Audit, counted, deadly, effects, hungry, metadata, outbox, staged, statuses
from tests.chaos.troupe import Troupe

_RUN_SECONDS = {"short": 12.0, "long": 180.0}
_CALM_SECONDS = 150.0
_REPLICAS, _WORKERS = 3, 6
_BURST = 40  # tasks of each type between two kills
_MOST_BACKLOG = 400


@pytest.fixture
def audited(engine: Engine) -> Engine:
    """Give the database with its tables and the audit of claims."""
    metadata.create_all(engine)
    Audit.begin(engine)
    return engine


def enqueue(engine: Engine, numbers: range) -> None:
    with engine.begin() as connection:
        for task in (counted, staged):
            outbox.enqueue_many(connection, task, [Call({"number": number}) for number in numbers])


def backlog(engine: Engine) -> int:
    return sum(
        count for (_, status), count in statuses(engine).items() if status in (Status.PENDING, Status.PROCESSING)
    )


def wait_for(engine: Engine, expected: Mapping[tuple[str, Status], int], troupe: Troupe) -> None:
    until = time.monotonic() + _CALM_SECONDS
    while statuses(engine) != expected and time.monotonic() < until:
        troupe.replace_dead_workers()
        time.sleep(0.1)  # between two looks: the condition is in the database
    assert statuses(engine) == expected


def seen_numbers(engine: Engine) -> Counter[int]:
    with engine.connect() as connection:
        return Counter(connection.scalars(select(effects.c.number)))


@on_mariadb
@in_short_and_long
def test_kills_of_services_and_workers_lose_nothing_and_leave_one_live_claim(
    audited: Engine, form: str, finding: Tell
) -> None:
    engine, count = audited, 0
    with Troupe(engine, _REPLICAS, _WORKERS) as troupe:
        until = time.monotonic() + _RUN_SECONDS[form]
        while time.monotonic() < until:
            if backlog(engine) < _MOST_BACKLOG:  # what the survivors can do depends on the machine
                enqueue(engine, range(count, count + _BURST))
                count += _BURST
            time.sleep(random.uniform(0.05, 0.4))  # into the middle of the work
            troupe.kill_one()
            time.sleep(random.uniform(0.5, 1.5))
        wait_for(engine, {("counted", Status.SUCCESS): count, ("staged", Status.SUCCESS): count}, troupe)
        codes = troupe.stop_workers()
    audit = Audit(engine)
    finding(
        f"task service, {form}: {2 * count} tasks, {audit.claims} claims of which {audit.ran_out} ran out, killed "
        f"{troupe.kills['services']} services and {troupe.kills['workers']} workers; 0 lost, each effect once"
    )

    assert codes == [0] * _WORKERS
    assert troupe.ends == {}
    assert seen_numbers(engine) == Counter(range(count))
    assert audit.faults == []
    assert audit.still_live == 0
    if form == "long":
        assert min(troupe.kills["services"], troupe.kills["workers"], audit.ran_out) > 0


@on_mariadb
def test_a_task_that_kills_its_worker_each_time_ends_failed_and_the_others_go_on(audited: Engine) -> None:
    engine = audited
    with engine.begin() as connection:
        outbox.enqueue(connection, deadly)
    enqueue(engine, range(50))
    expected = {
        ("counted", Status.SUCCESS): 50,
        ("staged", Status.SUCCESS): 50,
        ("deadly", Status.FAILED): 1,
    }
    with Troupe(engine, 1, 2) as troupe:
        wait_for(engine, expected, troupe)
        troupe.replace_dead_workers()
        assert troupe.ends == {17: 3}
        assert troupe.stop_workers() == [0, 0]
    assert seen_numbers(engine) == Counter(range(50))
    assert Audit(engine).faults == []


@on_mariadb
def test_a_handler_that_exhausts_memory_ends_as_its_policy_says_and_the_worker_goes_on(audited: Engine) -> None:
    engine = audited
    with engine.begin() as connection:
        outbox.enqueue(connection, hungry)
    enqueue(engine, range(20))
    expected = {
        ("counted", Status.SUCCESS): 20,
        ("staged", Status.SUCCESS): 20,
        ("hungry", Status.FAILED): 1,
    }
    with Troupe(engine, 1, 1, "4096") as troupe:
        wait_for(engine, expected, troupe)
        assert troupe.stop_workers() == [0]
        assert troupe.ends == {}
    tasks = outbox.tasks
    with engine.connect() as connection:
        log, attempts = connection.execute(
            select(tasks.c.schedule_log, tasks.c.retry_count).where(tasks.c.task_type == "hungry")
        ).one()
    assert attempts == 2
    assert log.count("MemoryError") == 2
