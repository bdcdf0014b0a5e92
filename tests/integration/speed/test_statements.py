"""Statements a message: the same for few and for many, whatever waits beside them."""

from __future__ import annotations

import pytest

from asyncflow import Call, Message, Scheduler, Status
from asyncflow.scheduler.relay.relay import Relay
from asyncflow.scheduler.worker.worker import Worker
from asyncflow.testing import MemoryPublisher
from tests.integration.speed.conftest import Counting

READ = ("SELECT", "WITH")


def publish(counted: Counting, count: int) -> None:
    with counted.application.session() as session, session.begin():
        counted.application.outbox.publish_many(session, "user.registered", [Message({"n": n}) for n in range(count)])


def of(counts: dict[str, int], *words: str) -> int:
    return sum(counts.get(word, 0) for word in words)


@pytest.fixture
def scheduler(counted: Counting) -> Scheduler:
    """Give a scheduler that has its shards, and whose connections are open."""
    made = counted.application.scheduler(MemoryPublisher())
    made.ownership.acquire()
    publish(counted, 300)
    drain(made)
    return made


def drain(scheduler: Scheduler) -> None:
    for relay in scheduler.relays:
        relay.expect_work()
        while relay.step() == 0:
            pass


def test_a_publish_is_one_insert(counted: Counting) -> None:
    with counted.counting() as counts, counted.application.session() as session, session.begin():
        counted.application.outbox.publish(session, "user.registered", {})
    assert counts == {"INSERT": 1}


def test_a_bulk_of_a_thousand_is_a_few_inserts_and_nothing_else(counted: Counting) -> None:
    with counted.counting() as counts:
        publish(counted, 1000)
    assert counts.keys() == {"INSERT"}
    assert counts["INSERT"] <= 10


@pytest.mark.parametrize("messages", [1, 50, 1000])
def test_a_round_is_a_look_a_page_and_a_settle_however_many_messages_it_has(
    counted: Counting, scheduler: Scheduler, messages: int
) -> None:
    rounds = 0
    for _ in range(20):  # rounds of a machine that stood still are followed by smaller ones
        publish(counted, messages)
        with counted.counting() as counts:
            drain(scheduler)
        # A look that finds the messages, their pages, the look that finds nothing more; the epochs and one update.
        rounds = of(counts, "UPDATE")
        assert of(counts, *READ) <= 3 * rounds + 3
        assert sum(counts.values()) <= 5 * rounds + 3
        if rounds <= 4:
            break
    assert 1 <= rounds <= 4


def test_more_shards_task_types_and_history_cost_no_statement_more(counted: Counting, scheduler: Scheduler) -> None:
    few = cheapest_of_three(counted, scheduler)
    for number in range(30):
        counted.application.outbox.message(f"other.{number}")
    assert cheapest_of_three(counted, scheduler) == few


def cheapest_of_three(counted: Counting, scheduler: Scheduler) -> dict[str, int]:
    """Return the statements of the round with the fewest: what is looked at now and then falls into some of them."""
    rounds = []
    for _ in range(3):
        publish(counted, 40)
        with counted.counting() as counts:
            drain(scheduler)
        rounds.append(counts)
    return min(rounds, key=lambda one: sum(one.values()))


def test_a_batch_of_tasks_is_claimed_and_completed_by_a_few_statements(counted: Counting) -> None:
    outbox = counted.application.outbox
    outbox.task("nothing", concurrency=100)(nothing)
    scheduler = counted.application.scheduler()
    totals = []
    for tasks in (10, 100):
        with counted.application.session() as session, session.begin():
            outbox.enqueue_many(session, "nothing", [Call({})] * tasks)
        with counted.counting() as counts:
            scheduler.drain()
        totals.append(sum(counts.values()))
    assert totals[1] <= totals[0] + 30
    assert totals[1] <= 100  # of which taking part and leaving take most


def nothing() -> None: ...


def test_an_idle_instance_asks_one_question(counted: Counting) -> None:
    outbox = counted.application.outbox
    for number in range(5):
        outbox.message(f"idle.{number}")
        outbox.task(f"idle.task.{number}")(nothing)
    scheduler = counted.application.scheduler(lease_seconds=600)
    scheduler.ownership.acquire()
    loops: list[Relay | Worker] = [*scheduler.relays, scheduler.worker]
    now = [0.0]
    scheduler.lookout.clock = lambda: now[0]
    for loop in loops:
        loop.step()
    now[0] = 0.7
    for loop in loops:
        loop.step()
    now[0] = 1.3
    scheduler.cluster.step()  # the first look that brings the heads along
    now[0] = 2.1
    with counted.counting() as counts:
        scheduler.cluster.step()
        for loop in loops:
            loop.step()
    assert sum(counts.values()) == 1
    assert of(counts, *READ) == 1
    publish(counted, 1)
    now[0] = 2.9
    scheduler.cluster.step()
    scheduler.relays[0].step()
    assert counted.application.statuses() == [Status.SUCCESS]
    scheduler.ownership.release()
