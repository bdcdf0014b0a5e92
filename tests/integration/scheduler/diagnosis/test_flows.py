"""How tasks come and go is read from few rows, on each database."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from asyncflow import Message
from asyncflow.scheduler.diagnosis.flows import Lateness, look_at_flows
from tests.support.application import Application


def test_what_was_enqueued_in_the_last_minute_comes_in_and_what_waits_is_counted(application: Application) -> None:
    with application.session() as session, session.begin():
        application.outbox.publish_many(session, "user.registered", [Message({"n": n}) for n in range(90)])
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).values(order_time=timedelta(seconds=-300)))
    flows = look_at_flows(application.engine, application.outbox, Lateness({"user.registered": 300.0}, deletes=False))
    flow = flows.of(["user.registered"])
    assert (flow.in_per_second, flow.pending, flow.is_capped) == (1.5, 90, False)
    assert flow.is_behind
    assert flow.drained_seconds is None  # nothing goes out


def test_an_empty_outbox_has_flows_of_nothing(application: Application) -> None:
    flow = look_at_flows(application.engine, application.outbox, Lateness({}, deletes=False)).of(["user.registered"])
    assert (flow.in_per_second, flow.out_per_second, flow.pending, sum(flow.minutes)) == (0, 0, 0, 0)
