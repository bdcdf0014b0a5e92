"""What each queue has to hold, whatever its broker: a class that inherits this gives the queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, func, select, update

from asyncflow import Call, Done, Outbox, RejectTask, Scheduler, Status, TaskContext
from asyncflow.events import AttemptsRefunded, SettleFenced, TaskFailed
from asyncflow.scheduler.queue_worker import QueueWorker
from asyncflow.scheduler.queues.letters import Letter, read_letter
from asyncflow.scheduler.queues.notes import ClaimNote, note_of
from asyncflow.scheduler.task_queue import TaskQueue
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.testing import Signals
from tests.support.meddled_queue import MeddledQueue
from tests.support.options import Retries

QUEUE = "workers"
_PATIENCE_SECONDS = 120.0


class Office:
    """Have an application whose tasks go by a queue, schedulers and workers of it, all ended with the test."""

    def __init__(self, engine: Engine, queue: TaskQueue, until: ExitStack, **options: Any) -> None:
        self.engine = engine
        self.queue = queue
        self.signals = Signals()
        self.done: list[int] = []
        self.may_end = threading.Event()
        self.stages: list[Any] = []
        self._until = until
        metadata = MetaData()
        self.outbox = outbox = Outbox(metadata, **options)
        quick: Retries = {"max_retries": 2, "retry_interval_seconds": 0.01, "max_retry_interval_seconds": 0.01}

        @outbox.task(queue=QUEUE, keep_result=True, **quick)
        def issue(ctx: TaskContext, number: int) -> int:
            if number < 0 and ctx.attempt == 1:
                ctx.checkpoint(stage="asked", context={"number": number})
                raise TimeoutError("no answer")
            if number == 13:
                raise RejectTask("never")
            self.stages.append((number, ctx.stage, ctx.context))
            self.done.append(number)
            return number * 2

        @outbox.task(queue=QUEUE, concurrency=1, limit=10, **quick)
        def slow(number: int) -> None:
            self.done.append(number)
            self.may_end.wait(_PATIENCE_SECONDS)

        @outbox.task(**quick)
        def here(number: int) -> None:
            self.done.append(number)

        self.issue, self.slow, self.here = issue, slow, here
        metadata.create_all(engine)

    def schedule(self, **options: Any) -> Scheduler:
        options = {"monitor_interval_seconds": 0.1, "tick": 0.1, "heartbeat_seconds": 0.1, **options}
        queues = {QUEUE: self.queue}
        scheduler = Scheduler(
            self.engine, self.outbox, {}, queues=queues, hooks=[self.signals], lease_seconds=600.0, **options
        )
        self._until.callback(scheduler.stop, 10)
        scheduler.start()
        return scheduler

    def work(self, **options: Any) -> QueueWorker:
        worker = QueueWorker(self.outbox, QUEUE, self.queue, hooks=[self.signals], **options)
        self._until.callback(worker.stop, 10)
        self._until.callback(self.may_end.set)
        worker.start()
        return worker

    def enqueue(self, task: Any, *numbers: int) -> None:
        with self.engine.begin() as connection:
            self.outbox.enqueue_many(connection, task, [Call({"number": number}) for number in numbers])

    def rows(self) -> list[Any]:
        tasks = self.outbox.tasks.c
        columns = (tasks.id, tasks.status, tasks.retry_count, tasks.order_time, tasks.owner, tasks.schedule_log)
        with self.engine.connect() as connection:
            return list(connection.execute(select(*columns).order_by(tasks.id)))

    def count(self, status: Status) -> int:
        tasks = self.outbox.tasks.c
        with self.engine.connect() as connection:
            found = connection.scalar(select(func.count()).where(tasks.status == int(status)))
        return int(found or 0)

    def let_claims_run_out(self) -> None:
        """Let all that is claimed have been claimed long ago, in place of waiting."""
        tasks = self.outbox.tasks
        with self.engine.begin() as connection:
            its_status = tasks.c.status == int(Status.PROCESSING)
            connection.execute(update(tasks).where(its_status).values(order_time=timedelta(hours=-1)))

    def take_by_hand(self, count: int = 1) -> list[Letter]:
        """Be a worker that takes letters, and does nothing with them yet."""
        line = self.queue.taking(QUEUE)
        self._until.callback(line.close)
        letters: list[Letter] = []

        def have_come() -> bool:
            letters.extend(read_letter(one.body) for one in line.take({"issue": count - len(letters)}, 0.2))
            return len(letters) == count

        wait_until(have_come)
        return letters

    def tell_by_hand(self, letter: Letter, outcome: str, error: str = "") -> None:
        line = self.queue.telling(QUEUE)
        self._until.callback(line.close)
        line.tell(
            [note_of(ClaimNote(outcomes=[ClaimOutcome(HeldClaim(letter.task.id, letter.token), outcome, None, error)]))]
        )


class QueueSuite:
    """Inherit it, and give a fixture ``queue``: a MeddledQueue of three credits that nobody else uses."""

    @pytest.fixture
    def office(self, sqlite_engine: Engine, queue: MeddledQueue) -> Iterator[Office]:
        with ExitStack() as until:
            yield Office(sqlite_engine, queue, until)

    def test_workers_without_a_database_do_what_goes_by_the_queue_with_the_outcomes_of_the_scheduler(
        self, office: Office
    ) -> None:
        office.schedule()
        office.work()
        office.enqueue(office.issue, *range(20), -1)
        office.enqueue(office.here, 100)
        wait_until(lambda: office.count(Status.SUCCESS) == 21 and office.count(Status.FAILED) == 1)

        assert sorted(office.done) == [-1, *(n for n in range(20) if n != 13), 100]
        assert (-1, "asked", {"number": -1}) in office.stages
        attempts = {row.retry_count for row in office.rows()}
        assert attempts == {1, 2}
        with office.engine.connect() as connection:
            tasks = office.outbox.tasks.c
            (told,) = connection.scalars(select(tasks.schedule_log).where(tasks.status == int(Status.FAILED)))
            results = [office.outbox.result(connection, row.id) for row in office.rows() if row.status == 2]
        assert "RejectTask: never" in told
        assert sorted(one.value for one in results if isinstance(one, Done) and one.value is not None) == sorted(
            2 * number for number in office.done if number != 100
        )

    def test_no_more_are_in_the_queue_and_at_work_than_there_are_credits_whoever_sent_them(
        self, office: Office
    ) -> None:
        office.enqueue(office.issue, *range(20, 30))
        first = office.schedule()
        letters = office.take_by_hand(3)
        assert office.count(Status.PROCESSING) == 3
        office.tell_by_hand(letters[0], "success")
        letters += office.take_by_hand(1)
        assert office.count(Status.PROCESSING) == 3
        assert office.count(Status.SUCCESS) == 1
        assert first.stop()
        office.schedule()
        office.tell_by_hand(letters[1], "success")
        letters += office.take_by_hand(1)
        assert office.count(Status.PROCESSING) == 3
        for letter in letters[2:]:
            office.tell_by_hand(letter, "success")
        office.work()
        wait_until(lambda: office.count(Status.SUCCESS) == 10)

    def test_a_letter_that_comes_twice_changes_nothing_the_second_time(
        self, office: Office, queue: MeddledQueue
    ) -> None:
        queue.copies = 2
        office.schedule()
        office.enqueue(office.issue, 1)
        first, second = office.take_by_hand(2)
        assert (first.task.id, first.token) == (second.task.id, second.token)
        office.tell_by_hand(first, "success")
        wait_until(lambda: office.count(Status.SUCCESS) == 1)
        office.tell_by_hand(second, "failed", "the second one")

        office.signals.wait_for(SettleFenced)
        assert [(row.status, row.retry_count) for row in office.rows()] == [(Status.SUCCESS, 1)]
        assert office.signals.of(TaskFailed) == []

    def test_a_letter_that_was_lost_comes_again_by_its_claim_and_costs_no_attempt(
        self, office: Office, queue: MeddledQueue
    ) -> None:
        queue.loses = 4  # more often than there are attempts
        office.schedule()
        office.work()
        office.enqueue(office.issue, 1)
        for lost in range(1, 5):
            wait_until(lambda lost=lost: queue.lost == lost and office.count(Status.PROCESSING) == 1)  # type: ignore[misc]
            office.let_claims_run_out()
        wait_until(lambda: office.count(Status.SUCCESS) == 1)

        assert office.done == [1]
        assert [row.retry_count for row in office.rows()] == [1]
        assert sum(event.tasks for event in office.signals.of(AttemptsRefunded)) == 4

    def test_an_outcome_that_comes_when_the_claim_has_run_out_changes_nothing(self, office: Office) -> None:
        office.schedule()
        office.enqueue(office.issue, 1)
        (letter,) = office.take_by_hand()
        office.let_claims_run_out()
        office.work()
        wait_until(lambda: office.count(Status.SUCCESS) == 1)
        office.tell_by_hand(letter, "retry", "too late")

        office.signals.wait_for(SettleFenced)
        assert [row.status for row in office.rows()] == [Status.SUCCESS]
        assert office.done == [1]

    def test_a_handler_that_takes_long_keeps_its_claim(self, office: Office) -> None:
        office.schedule(claim_lease_seconds=60.0)
        office.work(claim_lease_seconds=120.0)
        office.enqueue(office.slow, 1)
        ends: set[Any] = set()

        def was_renewed() -> bool:
            ends.update(row.order_time for row in office.rows() if row.status == Status.PROCESSING)
            return len(ends) >= 2

        wait_until(was_renewed)
        (row,) = office.rows()
        assert row.owner.startswith("="), "its worker was heard of"
        office.may_end.set()
        wait_until(lambda: office.count(Status.SUCCESS) == 1)
        assert [row.retry_count for row in office.rows()] == [1]

    def test_a_worker_that_stops_gives_back_what_it_has_not_begun_without_an_attempt(self, office: Office) -> None:
        office.schedule()
        worker = office.work()
        office.enqueue(office.slow, 1, 2, 3)
        wait_until(lambda: len(office.done) == 1 and office.count(Status.PROCESSING) == 3)
        clean: list[bool] = []
        stopping = threading.Thread(target=lambda: clean.append(worker.stop(_PATIENCE_SECONDS)))
        stopping.start()
        wait_until(lambda: sum("the worker stops" in (row.schedule_log or "") for row in office.rows()) == 2)
        office.may_end.set()
        stopping.join()
        assert clean == [True]
        wait_until(lambda: office.count(Status.SUCCESS) == 1)

        office.work()
        wait_until(lambda: office.count(Status.SUCCESS) == 3)
        assert sorted(office.done) == [1, 2, 3]
        assert [row.retry_count for row in office.rows()] == [1, 1, 1]

    def test_schedulers_share_a_queue_and_each_writes_what_the_others_have_handed_over(self, office: Office) -> None:
        office.schedule()
        office.schedule()
        office.work()
        office.enqueue(office.issue, *range(20, 60))
        wait_until(lambda: office.count(Status.SUCCESS) == 40)
        assert sorted(office.done) == list(range(20, 60))


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.02)  # between two looks
