"""What an instance tells stands in its row, costs no statement, and disturbs no instance that tells nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select

from asyncflow import Scheduler
from asyncflow.scheduler.telling.instance_state import InstanceState, state_from
from tests.integration.scheduler.publishers import Switch
from tests.integration.scheduler.writing import publish, publish_foreign, statements
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

Schedule = Callable[..., Scheduler]
QUICK: dict[str, Any] = {"heartbeat_seconds": 0.1, "lease_seconds": 1.0, "max_pause_seconds": 0.1}


def told_by(application: Application) -> dict[str, InstanceState]:
    instances = application.outbox.instances
    rows = application.rows(select(instances.c.instance, instances.c.state))
    return {row.instance: state for row in rows if (state := state_from(row.state)) is not None}


def test_an_instance_tells_what_it_is_what_it_meets_and_what_it_does_not_know(
    application: Application, schedule: Schedule
) -> None:
    broker = Switch(away=True)
    publish_foreign(application.engine, "of.somebody.else")
    publish(application)
    scheduler = schedule(broker, **QUICK)
    scheduler.start()

    def told() -> InstanceState | None:
        return told_by(application).get(scheduler.ownership.owner)

    def has_met() -> bool:
        state = told()
        return state is not None and bool(state.breakers and state.undeclared and state.seconds_ahead is not None)

    eventually(has_met)
    state = told()
    assert state is not None
    (breaker,) = state.breakers
    assert (breaker.destination, breaker.error) == ("kafka", "connection refused")
    assert state.undeclared == ("of.somebody.else",)
    assert state.settings == QUICK
    assert state.version
    assert state.pid
    assert state.seconds_ahead is not None
    assert abs(state.seconds_ahead) < 60
    broker.away = False
    eventually(lambda: (now := told()) is not None and not now.breakers and now.succeeded == 1)
    scheduler.stop()
    assert told_by(application) == {}


def test_telling_costs_no_statement(application: Application, schedule: Schedule) -> None:
    scheduler = schedule()
    scheduler.ownership.acquire()
    registry: Any = scheduler.cluster.registry
    counts = []
    for tells in (True, False):
        if tells:
            registry.bulletin.forget()
        with statements(application.engine) as sent:
            registry.renew()
        assert any(re.search(r"\bstate\b", one) for one in sent) is tells
        counts.append(len(sent))
    assert counts == [2, 2]
    scheduler.ownership.release()


def test_a_row_that_was_lost_tells_again(application: Application, schedule: Schedule) -> None:
    scheduler = schedule()
    scheduler.ownership.acquire()
    assert scheduler.ownership.owner in told_by(application)
    with application.engine.begin() as connection:
        connection.execute(application.outbox.instances.delete())
    for _ in range(2):
        scheduler.cluster.registry.renew()
    assert scheduler.ownership.owner in told_by(application)
    scheduler.ownership.release()


def test_an_instance_of_a_version_that_tells_nothing_shares_the_work(
    application: Application, schedule: Schedule
) -> None:
    # As an older version writes it.
    older = {"job": "outbox", "instance": "older", "leaving": False}
    lease = {"joined_at": timedelta(0), "lease_until": timedelta(seconds=60)}
    with application.engine.begin() as connection:
        connection.execute(insert(application.outbox.instances).values(**older, **lease))
    scheduler = schedule()
    scheduler.ownership.acquire()
    assert set(told_by(application)) == {scheduler.ownership.owner}
    assert len(scheduler.ownership.epochs()) == application.outbox.shard_count / 2
    scheduler.ownership.release()
