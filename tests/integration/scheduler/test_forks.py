"""A fork before and after the start: a child is an instance of its own or nothing, the parent's stays its own."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from asyncflow import Scheduler, Status
from asyncflow.errors import ForkedError
from asyncflow.outbox.ids import new_id
from asyncflow.scheduler import SENT, Outcome, Record
from asyncflow.scheduler.configuration.configurations import Configurations
from asyncflow.scheduler.operator.dead_letters import DeadLetters
from asyncflow.scheduler.worker.claiming.holds_at_work import HoldsAtWork
from tests.integration.conftest import Schedule
from tests.integration.scheduler.faults import faults
from tests.integration.scheduler.settled import wait_for_settled
from tests.integration.scheduler.writing import publish, publish_many, texts
from tests.support.application import Application
from tests.support.forking import LONG, Child
from tests.unit.scheduler.waiting import eventually

CHILDREN = 4


class File:
    """Write the ids of what is published into a file that all processes share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        lines = "".join(f"{os.getpid()} {dict(record.headers)['message-id'].decode()}\n" for record in batch)
        target = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(target, lines.encode())
        os.close(target)
        return [SENT] * len(batch)

    def close(self) -> None:
        """Hold nothing."""

    def sent(self) -> list[tuple[int, str]]:
        """Return process and message id of each record."""
        pairs = (line.split() for line in self.path.read_text().splitlines())
        return [(int(pid), message_id) for pid, message_id in pairs]


def all_settled(application: Application) -> bool:
    tasks = application.outbox.tasks
    return application.rows(select(tasks.c.id).where(tasks.c.status != int(Status.SUCCESS)).limit(1)) == []


def relay_until_settled(application: Application, scheduler: Scheduler) -> str:
    scheduler.start()
    eventually(lambda: all_settled(application), LONG)
    owner = scheduler.ownership.owner
    assert scheduler.stop()
    assert faults(application) == []
    return owner


def test_children_that_start_what_the_master_made_are_instances_of_their_own(
    application: Application, tmp_path: Path
) -> None:
    publisher = File(tmp_path / "sent")
    scheduler = application.scheduler(publisher)
    ids = publish_many(application, 2000)
    children = [Child(lambda: relay_until_settled(application, scheduler)) for _ in range(CHILDREN)]
    owners = [child.result() for child in children]
    assert len({*owners, scheduler.ownership.owner}) == CHILDREN + 1
    sent = Counter(message_id for _, message_id in publisher.sent())
    assert sent == Counter(texts(ids))


def test_children_of_multiprocessing_are_instances_of_their_own(application: Application, tmp_path: Path) -> None:
    publisher = File(tmp_path / "sent")
    scheduler = application.scheduler(publisher)
    ids = publish_many(application, 500)
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=relay_until_settled, args=(application, scheduler)) for _ in range(CHILDREN)]
    for child in children:
        child.start()
    for child in children:
        child.join(LONG)
    assert [child.exitcode for child in children] == [0] * CHILDREN
    assert Counter(message_id for _, message_id in publisher.sent()) == Counter(texts(ids))


def test_children_that_drain_are_instances_of_their_own(application: Application, tmp_path: Path) -> None:
    publisher = File(tmp_path / "sent")
    scheduler = application.scheduler(publisher)
    ids = publish_many(application, 100)

    def drain() -> str:
        scheduler.drain()
        assert scheduler.stop()
        return scheduler.ownership.owner

    children = [Child(drain) for _ in range(2)]
    assert len({child.result() for child in children}) == 2
    assert Counter(message_id for _, message_id in publisher.sent()) == Counter(texts(ids))


def server_ids(application: Application) -> Callable[[], int]:
    """Return what tells the server's number of a connection that the pool gives."""
    statement = {"mysql": "SELECT CONNECTION_ID()", "postgresql": "SELECT pg_backend_pid()"}

    def one() -> int:
        with application.engine.connect() as connection:
            return int(connection.execute(text(statement[application.engine.dialect.name])).scalar_one())

    return one


@pytest.mark.parametrize("made", ["before", "after"])
def test_no_statement_of_a_child_goes_over_a_connection_of_the_parent(application: Application, made: str) -> None:
    if application.engine.dialect.name == "sqlite":
        pytest.skip("a file has no connections to share")
    number = server_ids(application)
    idle = {number() for _ in range(3)}
    scheduler = application.scheduler() if made == "before" else None

    def in_child() -> set[int]:
        with scheduler or application.scheduler():
            return {number() for _ in range(3)}

    assert not idle & Child(in_child).result()
    assert number() in idle


def refused(work: Callable[[], Any]) -> str:
    with pytest.raises(ForkedError) as caught:
        work()
    return str(caught.value)


def test_a_child_of_a_started_master_is_refused_and_touches_nothing_of_it(
    application: Application, schedule: Schedule, tmp_path: Path
) -> None:
    publisher = File(tmp_path / "sent")
    scheduler = schedule(publisher)
    scheduler.start()
    publish(application)
    wait_for_settled(application.signals, "kafka", 1)
    epochs = dict(scheduler.ownership.epochs())
    assert len(epochs) == application.outbox.shard_count

    def in_child() -> list[str]:
        told = [refused(scheduler.start), refused(scheduler.drain), refused(scheduler.__enter__)]
        publish_many(application, 10)  # rings nobody, and takes no lock that a thread of the parent held
        assert scheduler.counters().succeeded == 0
        assert not scheduler.wait(0.001)
        assert scheduler.stop()
        scheduler.__exit__(None, None, None)
        gc.collect()
        return told

    for told in Child(in_child).result():
        assert f"was started by process {os.getpid()}" in told
        assert "Make a scheduler" in told
    publish_many(application, 10)
    wait_for_settled(application.signals, "kafka", 21)
    scheduler.ownership.refresh()
    assert scheduler.ownership.epochs() == epochs
    assert faults(application) == []
    assert {pid for pid, _ in publisher.sent()} == {os.getpid()}


def test_a_fork_at_any_moment_of_a_busy_master_leaves_a_child_that_can_work(
    application: Application, schedule: Schedule, tmp_path: Path
) -> None:
    publisher = File(tmp_path / "sent")
    scheduler = schedule(publisher)
    scheduler.start()
    ids = publish_many(application, 1000)

    def in_child() -> int:
        with application.scheduler(File(tmp_path / "childs")) as own:  # its own: it may share the shards out
            publish(application)
            eventually(lambda: all_settled(application), LONG)
            return len(own.ownership.epochs())

    children = [Child(in_child) for _ in range(3)]
    for child in children:
        child.result()
    both = [*publisher.sent()] + (File(tmp_path / "childs").sent() if (tmp_path / "childs").exists() else [])
    sent = Counter(message_id for _, message_id in both)
    assert texts(ids) <= sent.keys()
    assert max(sent.values()) == 1
    assert len(sent) == len(ids) + 3
    assert faults(application) == []


def test_what_reads_for_people_works_in_a_child(application: Application) -> None:
    engine, outbox = application.engine, application.outbox
    configurations, letters = Configurations(engine, outbox), DeadLetters(engine, outbox)
    configured = configurations.all()
    assert list(letters.list().letters) == []
    assert Child(lambda: (configurations.all() == configured, list(letters.list().letters))).result() == (True, [])


def test_a_child_counts_none_of_the_holds_of_its_parent() -> None:
    holds = HoldsAtWork()

    def beside() -> int:
        with holds.one_more() as others:
            return others

    with holds.one_more():
        assert (beside(), Child(beside).result()) == (1, 0)


def test_ids_are_not_repeated_after_a_fork() -> None:
    new_id()
    children = [Child(lambda: [new_id() for _ in range(300)]) for _ in range(CHILDREN)]
    ids = [new_id() for _ in range(300)]
    for child in children:
        ids += child.result()
    # The low half alone decides on the shard, and is all that differs within a millisecond.
    assert len({one.int & (2**62 - 1) for one in ids}) == len(ids)


def test_a_scheduler_with_a_registry_of_the_parent_is_refused_in_the_child(sqlite_engine: Engine) -> None:
    application = Application(sqlite_engine)
    registry = application.scheduler().cluster.registry
    scheduler = application.scheduler(registry=registry)
    assert "make the registry and the scheduler in the child" in Child(lambda: refused(scheduler.start)).result()


def test_a_fork_while_a_lock_of_the_scheduler_is_held_leaves_no_lock_behind(sqlite_application: Application) -> None:
    scheduler = sqlite_application.scheduler()
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with scheduler._lifecycle:
            held.set()
            over.wait(LONG)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(LONG)
    child = Child(lambda: relay_until_settled(sqlite_application, scheduler))
    try:
        child.result()
    finally:
        over.set()
        thread.join()
