"""The report tells of rows that are set aside by the keys that they wait for, not by a due time that nobody means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from asyncflow.commands.operator.status import render
from asyncflow.scheduler import SENT, Outcome, Record, Rejected, Retry
from asyncflow.scheduler.operator.report import report
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.relay.test_order import declare, enqueue, rounds
from tests.support.application import Application


class Refusing(MemoryPublisher):
    """Answer so to what is numbered 1."""

    def __init__(self, answer: Outcome) -> None:
        super().__init__()
        self.answer = answer

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        return [self.answer if record.value == b"1" else SENT for record in batch]


def shown(application: Application) -> list[str]:
    """Return the fields of the line that `status` has for the only type."""
    return re.split(r"  +", render(report(application.engine, application.outbox)).splitlines()[1])


def test_what_stands_behind_a_dead_letter_is_told_as_parked(application: Application, schedule: Schedule) -> None:
    declare(application, max_retries=0)
    scheduler = schedule(Refusing(Rejected("too large")))
    enqueue(application, "A", 1, 2, 3)
    rounds(scheduler)
    (told,) = report(application.engine, application.outbox).types
    assert (told.parked_keys, told.parked_due_seconds, told.next_due_seconds) == (1, None, None)
    assert shown(application)[3] == "parked"


def test_what_stands_behind_a_task_that_is_tried_again_is_told_with_its_time(
    application: Application, schedule: Schedule
) -> None:
    declare(application, retry_interval_seconds=3600, max_retry_interval_seconds=3600)
    scheduler = schedule(Refusing(Retry("busy")))
    enqueue(application, "A", 1, 2)
    rounds(scheduler)
    (told,) = report(application.engine, application.outbox).types
    assert told.parked_keys == 1
    assert told.parked_due_seconds is not None
    assert 0 < told.parked_due_seconds <= 3600
    assert shown(application)[3].startswith("parked, ")


def test_a_task_with_a_long_delay_is_told_with_it(application: Application) -> None:
    declare(application)
    with application.session() as session, session.begin():
        application.outbox.publish(session, "user.registered", {}, delay_seconds=86_400)
    (told,) = report(application.engine, application.outbox).types
    assert told.parked_keys == 0
    assert told.next_due_seconds is not None
    assert 43_200 < told.next_due_seconds <= 86_400
