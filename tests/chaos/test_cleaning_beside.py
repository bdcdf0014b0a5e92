"""Rows are cleaned as fast as can be while others are written: no deadlock reaches who writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest
from sqlalchemy import Engine

from asyncflow import Call, Message, Scheduler
from asyncflow.events import SettledRowsDeleted, StepFailed
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_servers
from tests.support.application import Application

_SECONDS = {"short": 4.0, "long": 300.0}
_PRODUCERS = 3
_AT_ONCE = {
    "success_retention_seconds": 0.001,
    "dedupe_retention_seconds": 0.001,
    "cleaning_interval_seconds": 0.02,
    "cleaning_pause_seconds": 0.001,
    "cleaning_batch": 100,
}


class Producers:
    """Write in threads until they are ended; ``errors`` is what reached them."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._end = threading.Event()
        self._numbers = count()
        self.errors: list[BaseException] = []
        self.written = 0
        self._threads = [threading.Thread(target=self._write) for _ in range(_PRODUCERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let each end its transaction."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        while not self._end.is_set():
            number = next(self._numbers)
            try:
                self._write_one(number)
            except Exception as error:  # noqa: BLE001 - that there is none is what is to be shown
                self.errors.append(error)

    def _write_one(self, number: int) -> None:
        outbox = self._application.outbox
        with self._application.session() as session, session.begin():
            outbox.publish(session, "user.registered", {"n": number}, key=f"k{number % 7}")
            outbox.publish(session, "user.registered", {"n": number}, idempotency_key=f"i{number}")
            outbox.publish_many(session, "user.moved", [Message({"n": number}, key=f"k{number % 7}")] * 5)
            outbox.enqueue_many(session, "greet", [Call({}), Call({}, unique_key=f"u{number % 5}")])
        self.written += 1


@pytest.fixture
def application(engine: Engine) -> Application:
    """Give an application whose handlers do nothing."""
    application = Application(engine)
    application.outbox.message("user.moved", ordered=True)
    application.outbox.task("greet")(lambda: None)
    return application


@pytest.fixture
def schedulers(application: Application) -> Iterator[list[Scheduler]]:
    """Give two that clean."""
    two = [application.scheduler(**_AT_ONCE) for _ in range(2)]
    for scheduler in two:
        scheduler.start()
    yield two
    for scheduler in two:
        scheduler.stop(timeout_seconds=60)


@on_servers
@in_short_and_long
def test_no_deadlock_of_the_cleaning_reaches_a_producer(
    form: str, application: Application, schedulers: list[Scheduler], finding: Tell
) -> None:
    producers = Producers(application)
    until = time.monotonic() + _SECONDS[form]
    try:
        while time.monotonic() < until or not _cleaned(application):
            assert time.monotonic() < until + 120, "nothing was cleaned"
            time.sleep(0.1)
    finally:
        producers.end()
    failed = len(application.signals.of(StepFailed))
    told = (
        f"{producers.written} transactions, {_cleaned(application)} rows cleaned meanwhile, {failed} steps tried anew"
    )
    finding(f"  cleaning beside {_PRODUCERS} producers for {_SECONDS[form]:g} s: {told}")
    assert producers.errors == []


def _cleaned(application: Application) -> int:
    return sum(event.rows for event in application.signals.of(SettledRowsDeleted))
