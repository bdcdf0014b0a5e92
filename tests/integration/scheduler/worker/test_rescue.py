"""What becomes of the tasks of a worker that died, by what is known of their attempts."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from asyncflow import Call, Scheduler, Status
from asyncflow.events import AttemptsRefunded, ClaimsRanOut
from tests.support.application import Application
from tests.support.databases import everywhere
from tests.unit.scheduler.waiting import eventually

pytestmark = everywhere

_AT_ONCE = {"retry_interval_seconds": 0, "max_retry_interval_seconds": 0}


class Dead:
    """Be an instance that died with claims in hand: it began as many as its concurrency, and renews nothing."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.scheduler: Scheduler = application.scheduler(
            lease_seconds=600, heartbeat_seconds=1, stop_timeout_seconds=0.5
        )
        self.scheduler.ownership.acquire()
        self.released = threading.Event()
        self.begun: list[str] = []

    def claim(self) -> None:
        self.scheduler.worker.step()

    def die(self) -> None:
        """Let its leases run out, as if nobody had renewed them; what waits in it never begins."""
        for crew in self.scheduler.worker.crews.by_type.values():
            crew.withdraw()
        outbox, past = self.application.outbox, timedelta(seconds=-1)
        with self.application.engine.begin() as connection:
            for table in (outbox.shards, outbox.instances):
                connection.execute(update(table).values(lease_until=past))


@pytest.fixture
def dead(application: Application) -> Any:
    made = Dead(application)
    yield made
    made.released.set()
    made.scheduler.worker.close()


def enqueue(application: Application, task: Any, names: list[str]) -> None:
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, task, [Call({"name": name}) for name in names])


def waiting_type(application: Application, dead: Dead, **options: Any) -> Any:
    """Declare a type whose claims wait in the process, one at work."""

    @application.outbox.task("waiting", concurrency=1, **{**_AT_ONCE, **options})
    def waiting(name: str) -> None:
        dead.begun.append(name)
        dead.released.wait(240)

    return waiting


def test_tasks_of_an_instance_whose_lease_ran_out_are_rescued_long_before_their_claims_end(
    application: Application, dead: Dead
) -> None:
    task = waiting_type(application, dead, limit=1, max_retries=3)
    enqueue(application, task, ["a"])
    dead.claim()
    eventually(lambda: dead.begun == ["a"])
    dead.die()
    dead.released.set()

    with application.scheduler():
        eventually(lambda: application.statuses() == [Status.SUCCESS])

    assert [ran.given_back for ran in application.signals.of(ClaimsRanOut)] == [1]
    assert application.signals.of(AttemptsRefunded) == []
    assert application.rows()[0].retry_count == 2


def test_what_had_not_begun_costs_no_attempt_and_no_dead_letter(application: Application, dead: Dead) -> None:
    task = waiting_type(application, dead, limit=50, max_retries=0)
    enqueue(application, task, [str(number) for number in range(20)])
    dead.claim()
    eventually(lambda: len(dead.begun) == 1)
    dead.die()
    dead.released.set()

    with application.scheduler():
        eventually(lambda: application.statuses() == [Status.SUCCESS] * 20)

    assert {row.retry_count for row in application.rows()} == {1}
    assert sum(refunded.tasks for refunded in application.signals.of(AttemptsRefunded)) == 20


def test_from_the_second_death_on_what_had_begun_is_counted_and_what_waited_is_not(
    application: Application, dead: Dead
) -> None:
    task = waiting_type(application, dead, limit=50, max_retries=0)
    enqueue(application, task, [str(number) for number in range(5)])
    dead.claim()
    eventually(lambda: len(dead.begun) == 1)
    dead.die()
    second = Dead(application)
    second.scheduler.machinery.standing.alarms.departed.see([], [dead.scheduler.ownership.owner])
    second.scheduler.machinery.staff.monitor.step()
    assert [row.retry_count for row in application.rows()] == [0] * 5
    second.claim()
    eventually(lambda: len(dead.begun) == 2)
    second.die()
    dead.released.set()

    with application.scheduler():
        eventually(lambda: sorted(application.statuses()) == [Status.SUCCESS] * 4 + [Status.FAILED])

    (failed,) = [row for row in application.rows() if row.status == Status.FAILED]
    assert failed.retry_count == 1
    assert {row.retry_count for row in application.rows()} == {1}
    second.scheduler.worker.close()


def test_an_instance_that_comes_back_is_fenced_and_keeps_what_it_claims_from_then_on(
    application: Application, dead: Dead
) -> None:
    task = waiting_type(application, dead, limit=1, max_retries=3)
    enqueue(application, task, ["a"])
    dead.claim()
    eventually(lambda: dead.begun == ["a"])
    dead.die()
    other = application.scheduler()
    other.ownership.acquire()
    other.machinery.staff.monitor.step()
    assert [row.status for row in application.rows()] == [Status.PENDING]
    dead.scheduler.cluster.registry.renew()
    with application.engine.begin() as connection:
        owner = dead.scheduler.ownership.owner
        connection.execute(
            update(application.outbox.tasks).values(
                status=int(Status.PROCESSING), owner=owner, claim_token=UUID(int=7), order_time=timedelta(seconds=60)
            )
        )
    other.machinery.staff.monitor._looked_for = (frozenset(), frozenset())
    other.machinery.staff.monitor.step()
    assert [row.status for row in application.rows()] == [Status.PROCESSING]
    other.worker.close()
