"""Queues without a broker: what they hold, and what a broker that is away or refuses does to them."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, MetaData, create_engine

from asyncflow import Outbox, Scheduler, Status
from asyncflow.errors import ForkedError, OptionError, UnknownOptionError
from asyncflow.events import StepFailed, TaskFailed
from asyncflow.integrations.encryption import AesGcm, make_key
from asyncflow.scheduler.queue_worker import QueueWorker
from asyncflow.scheduler.task_queue import TaskQueue
from tests.integration.scheduler.queues.suite import QUEUE, Office, wait_until
from tests.support.forking import Child
from tests.support.memory_queue import MemoryQueue


@pytest.fixture
def broker() -> MemoryQueue:
    return MemoryQueue()


def test_the_outcomes_are_the_same_on_every_database(engine: Engine, broker: MemoryQueue) -> None:
    with ExitStack() as until:
        office = Office(engine, broker, until)
        office.schedule()
        office.work()
        office.enqueue(office.issue, *range(10, 16), -1)
        wait_until(lambda: office.count(Status.SUCCESS) == 6 and office.count(Status.FAILED) == 1)
        assert sorted(office.done) == [-1, 10, 11, 12, 14, 15]
        wait_until(lambda: not broker.notes)


def test_nothing_is_claimed_for_a_broker_that_is_away_and_all_goes_on_when_it_is_back(
    sqlite_engine: Engine, broker: MemoryQueue
) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, broker, until)
        broker.is_away = True
        office.enqueue(office.issue, 1, 2)
        office.schedule()
        office.work()
        office.signals.wait_for(StepFailed, lambda event: "the broker is away" in str(event.error))
        assert office.count(Status.PENDING) == 2
        broker.is_away = False
        wait_until(lambda: office.count(Status.SUCCESS) == 2)
        assert [row.retry_count for row in office.rows()] == [1, 1]


def test_an_outcome_waits_in_the_worker_while_the_broker_is_away(sqlite_engine: Engine, broker: MemoryQueue) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, broker, until)
        office.schedule()
        office.work()
        office.enqueue(office.slow, 1)
        wait_until(lambda: office.done == [1])
        broker.is_away = True
        office.may_end.set()
        office.signals.wait_for(StepFailed, lambda event: "the broker is away" in str(event.error))
        broker.is_away = False
        wait_until(lambda: office.count(Status.SUCCESS) == 1)
        assert office.done == [1]


def test_notes_that_come_again_change_nothing(sqlite_engine: Engine, broker: MemoryQueue) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, broker, until)
        office.schedule()
        office.work()
        office.enqueue(office.issue, -1)
        wait_until(lambda: office.count(Status.SUCCESS) == 1 and not broker.notes)
        before = office.rows()
        broker.tell(list(broker.told))
        wait_until(lambda: not broker.notes)
        assert office.rows() == before


def test_a_letter_that_the_broker_refuses_is_a_dead_letter_with_the_reason(
    sqlite_engine: Engine, broker: MemoryQueue
) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, broker, until)
        broker.refuses = "too large"
        office.schedule()
        office.enqueue(office.issue, 1)
        wait_until(lambda: office.count(Status.FAILED) == 1)
        assert broker.letters["issue"] == type(broker.letters["issue"])()


def test_an_encrypted_payload_is_opened_by_the_worker_alone(sqlite_engine: Engine, broker: MemoryQueue) -> None:
    pytest.importorskip("cryptography")
    with ExitStack() as until:
        keys: dict[str, bytes | str] = {"k1": make_key()}
        office = Office(sqlite_engine, broker, until, encryption=AesGcm(keys, "k1"))
        office.schedule()
        office.work()
        office.enqueue(office.issue, 4711)
        wait_until(lambda: office.count(Status.SUCCESS) == 1)
        assert office.done == [4711]
        assert b"4711" not in b"".join(parcel.body.partition(b"\n")[2] for parcel in broker.sent)


def test_what_cannot_be_read_is_told_of_and_hinders_nobody(sqlite_engine: Engine, broker: MemoryQueue) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, broker, until)
        broker.tell([b"no note"])
        broker.letters["issue"].append((0.0, b"no letter"))
        office.schedule()
        office.work()
        office.enqueue(office.issue, 1)
        wait_until(lambda: office.count(Status.SUCCESS) == 1 and not broker.notes)
        told = [str(event.error) for event in office.signals.of(StepFailed)]
        assert len(told) == 2
        assert office.signals.of(TaskFailed) == []


def test_a_scheduler_and_a_worker_that_were_made_before_a_fork_live_in_the_child(
    sqlite_engine: Engine, broker: MemoryQueue
) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, broker, until)
        office.enqueue(office.issue, 1)
        worker = QueueWorker(office.outbox, QUEUE, broker)

        def live() -> list[int]:
            engine = create_engine(sqlite_engine.url)
            with Scheduler(engine, office.outbox, {}, queues={QUEUE: broker}), worker:
                wait_until(lambda: office.count(Status.SUCCESS) == 1)
            return office.done

        assert Child(live).result() == [1]
        with worker:
            assert Child(lambda: _refusal(worker)).result() == "ForkedError"


def _refusal(worker: QueueWorker) -> str:
    try:
        worker.start()
    except ForkedError as error:
        return type(error).__name__
    return "none"


@pytest.mark.parametrize(
    ("options", "queues", "told"),
    [
        ({"queue": "elsewhere"}, {"workers": MemoryQueue()}, "go by the queue 'elsewhere', which is not there"),
        ({"queue": "workers"}, {}, r"\(given: none\); add it to queues="),
        ({}, {"workers": "redis://localhost"}, "the queue 'workers' is 'redis://localhost'; give one such as"),
        ({}, MemoryQueue(), "queues is a MemoryQueue"),
    ],
    ids=["another name", "none", "no queue", "no mapping"],
)
def test_a_queue_that_is_not_there_is_told_before_the_start(
    sqlite_engine: Engine, options: dict[str, str], queues: dict[str, TaskQueue], told: str
) -> None:
    outbox = Outbox(MetaData())
    outbox.task("issue", **options)(lambda: None)  # type: ignore[call-overload]
    with pytest.raises(OptionError, match=told):
        Scheduler(sqlite_engine, outbox, {}, queues=queues)


def test_what_cannot_be_is_refused_where_it_is_declared() -> None:
    outbox = Outbox(MetaData())
    with pytest.raises(OptionError, match=r"transactional is True, and queue is 'workers'.*leave one of them out"):
        outbox.task("joint", queue="workers", transactional=True)(lambda session: None)
    with pytest.raises(OptionError, match="queue is 7"):
        outbox.task("wrong", queue=7)  # type: ignore[call-overload]
    with pytest.raises(OptionError, match="has no handlers for the queue 'workers'"):
        QueueWorker(outbox, "workers", MemoryQueue()).start()
    with pytest.raises(UnknownOptionError, match=r"did you mean .claim_lease_seconds"):
        QueueWorker(outbox, "workers", MemoryQueue(), claim_lease=3)
    with pytest.raises(OptionError, match="claim_lease_seconds is 0"):
        QueueWorker(outbox, "workers", MemoryQueue(), claim_lease_seconds=0)


def test_a_scheduler_of_several_databases_takes_no_queue(sqlite_engine: Engine) -> None:
    outbox = Outbox(MetaData())
    engines = {"one": sqlite_engine, "two": create_engine("sqlite://")}
    with pytest.raises(OptionError, match="queues are given to a scheduler of several databases"):
        Scheduler(engines, outbox, {}, queues={"workers": MemoryQueue()})
