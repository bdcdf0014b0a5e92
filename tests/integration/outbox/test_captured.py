"""Rows of captured types beside the others: no relay takes them, and they are cleaned as what was sent."""

from __future__ import annotations

import pytest

from asyncflow import Scheduler, Status
from asyncflow.errors import UnroutedDestinationError
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application

everywhere = pytest.mark.parametrize("database_url", ["sqlite", "mariadb", "postgresql"], indirect=True)


@everywhere
def test_no_relay_takes_a_captured_row(application: Application) -> None:
    application.outbox.message("order.paid", captured=True)
    with application.session() as session, session.begin():
        application.outbox.publish(session, "order.paid", {"n": 1}, key="o-1")
        application.outbox.publish_many(session, "order.paid", [])
        application.outbox.publish(session, "user.registered", {"n": 2})
    publisher = MemoryPublisher()
    application.scheduler(publisher).drain()
    assert [record.topic for record in publisher.records] == ["user.registered"]
    assert application.statuses() == [Status.SUCCESS, Status.SUCCESS]


def test_a_captured_row_is_deleted_when_the_retention_of_what_was_sent_is_over(application: Application) -> None:
    application.outbox.message("order.paid", captured=True, destination="nowhere")
    with application.session() as session, session.begin():
        application.outbox.publish(session, "order.paid", {"n": 1})
    scheduler = application.scheduler(success_retention_seconds=0.001)
    scheduler.ownership.acquire()
    while scheduler.machinery.staff.cleaner.step() < 1:
        assert len(application.rows()) <= 1
    assert application.rows() == []


def test_a_captured_type_needs_no_publisher(application: Application) -> None:
    application.outbox.message("order.paid", captured=True, destination="nowhere")
    application.scheduler().drain()
    application.outbox.message("order.sent", destination="nowhere")
    with pytest.raises(UnroutedDestinationError, match=r"'order.sent' goes to 'nowhere'"):
        application.scheduler().drain()


def test_an_application_whose_messages_are_all_captured_has_a_scheduler_that_cleans(application: Application) -> None:
    del application.outbox.task_types["user.registered"]
    application.outbox.message("order.paid", captured=True)
    with application.session() as session, session.begin():
        application.outbox.publish(session, "order.paid", {"n": 1})
    Scheduler(application.engine, application.outbox, {}).drain()
    assert application.statuses() == [Status.SUCCESS]
