"""Whatever COMMIT's answer goes astray: nothing is lost, doubled, counted twice or out of order, and nothing stands."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import select

from asyncflow import Message
from asyncflow.events import SettleFenced, TaskRetried, TasksSettled
from tests.integration.conftest import Network
from tests.support.application import Application
from tests.support.databases import open_engine
from tests.support.lost_answers import Broker, live

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
SPREAD = 5  # of a day's commits; `make chaos` loses the answer of each


@on_servers
@pytest.mark.parametrize("on_success", ["keep", "delete"])
def test_a_day_ends_well_though_the_answer_of_a_commit_is_lost(network: Network, on_success: str) -> None:
    proxy, url, engine = network
    commits = live(engine, proxy, url, None, on_success=on_success)
    first = 1 if on_success == "keep" else commits // SPREAD // 2
    for number in range(first, commits, -(-commits // SPREAD)):
        live(engine, proxy, url, number, on_success=on_success)


@on_servers
@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_a_round_that_is_settled_twice_counts_once_and_holds_up_no_other_type(network: Network, lost: int) -> None:
    proxy, url, engine = network
    through = open_engine(url)
    application = Application(engine)
    for name in ("plain", "ordered", "blocked"):
        application.outbox.message(
            name,
            ordered=name != "plain",
            max_retries=int(name != "blocked"),
            retry_interval_seconds=600,
            max_retry_interval_seconds=600,
        )
    broker = Broker()
    application.engine = through
    scheduler = application.scheduler(broker)
    scheduler.ownership.acquire()
    with application.session() as session, session.begin():
        application.outbox.publish_many(session, "ordered", [Message(b"1 1", key="A"), Message(b"2 0", key="A")])
        application.outbox.publish_many(session, "blocked", [Message(b"1 9", key="B")])
        application.outbox.publish_many(session, "plain", [Message(b"1 0"), Message(b"2 1")])
    proxy.lose_nth(lost)
    for _ in range(8):
        try:
            scheduler.relays[0].step()
        except Exception:  # noqa: BLE001 - the loop would step again, too
            continue
    rows = {(row.task_type, row.payload): row for row in application.rows()}
    assert sorted(row.retry_count for row in rows.values()) == [0, 0, 1, 1, 1]
    assert {row.task_key for row in application.rows(select(application.outbox.parked_keys))} == {"A", "B"}
    application.outbox.message("later")
    with application.session() as session, session.begin():
        application.outbox.publish(session, "later", b"3 0")
    deadline = time.monotonic() + 60.0
    while not broker.arrived["later/"] and time.monotonic() < deadline:  # a relay that found nothing for long may rest
        scheduler.relays[0].step()
    assert broker.arrived["later/"] == [3]
    settled = application.signals.of(TasksSettled)
    counts = [sum(getattr(event, name) for event in settled) for name in ("succeeded", "retried", "failed")]
    assert counts == [2, 2, 1]
    assert len(application.signals.of(TaskRetried)) == 2
    assert application.signals.of(SettleFenced) == []
    scheduler.stop()
    through.dispose()
    engine.dispose()
