"""Rows examined: what is read is bounded by what is returned, at 300 task types x 64 shards as at one.

The rows are counted by the servers: MariaDB's handler reads, what PostgreSQL's scans returned and threw away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import MetaData, delete, insert, select, text

from asyncflow import Outbox, Scheduler, Status
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.look_up.task_rows import Filter, TaskPage
from asyncflow.scheduler import DeadLetters
from asyncflow.scheduler.cluster.resharding.reshard import reshard
from asyncflow.scheduler.diagnosis.diagnose import diagnose
from asyncflow.scheduler.diagnosis.explain import explain
from asyncflow.scheduler.diagnosis.finding import Code
from asyncflow.scheduler.heads import planner_statistics
from asyncflow.scheduler.heads.parts import MOST_LANES, HeadParts
from asyncflow.scheduler.heads.queries import read_heads_of
from asyncflow.scheduler.operator.report import report
from asyncflow.scheduler.operator.task_view import TaskView
from asyncflow.scheduler.relay.keys.queries import read_keys_with_rows_aside
from asyncflow.scheduler.upkeep.cleaner import Cleaner
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims
from asyncflow.testing import MemoryPublisher
from tests.integration.outbox.dialects.store import Statements
from tests.integration.speed.lanes import Examined, Lanes, analyze, examining, fill
from tests.support.databases import fresh_database, open_engine

TYPES, SHARDS = 300, 64
DAY = 86400
LONG_AGO, FAR_OFF = (datetime(year, 1, 2, tzinfo=timezone.utc) for year in (1970, 9999))
KEY_ROWS = 12_000


class Filled:
    """Hold an outbox whose table has rows of all lanes: pending, succeeded and failed ones."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        metadata = MetaData()
        self.outbox = Outbox(metadata)
        metadata.create_all(engine)
        for number in range(TYPES):
            self.outbox.message(f"type.{number:05}")
        tasks = self.outbox.tasks
        fill(engine, tasks, Lanes(types=TYPES, rows=2))
        fill(engine, tasks, Lanes(types=TYPES, rows=1, status=Status.SUCCESS, at_seconds=-30 * DAY))
        fill(engine, tasks, Lanes(types=TYPES, rows=1, status=Status.FAILED))
        fill(engine, tasks, Lanes(types=1, shards=1, rows=KEY_ROWS, status=Status.CANCELLED, key="busy"))
        analyze(engine, tasks)

    def page(self, chosen: Filter, most: int = 100, cursor: Any = None) -> TaskPage:
        with self.engine.connect() as connection:
            return TaskView(self.outbox).page(connection, chosen, most, cursor)


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Give a table of 300 task types in 64 shards, on the two servers."""
    with fresh_database(request.param, tmp_path_factory.mktemp("lanes")) as url:
        engine = open_engine(url)
        yield Filled(engine)
        engine.dispose()


def test_a_look_at_the_heads_is_a_descent_or_two_for_each_lane_and_never_at_all_of_many(filled: Filled) -> None:
    with filled.engine.connect() as connection, examining(filled.engine) as examined:
        parts = HeadParts(lambda work: work(connection), filled.outbox.tasks, Status.PENDING, SHARDS)
        lanes, part = 0, parts.next()
        while not part.is_last:
            lanes += len(part.heads)
            part = parts.next()
        lanes += len(part.heads)
    assert lanes == TYPES * SHARDS
    assert examined.most <= 4 * (MOST_LANES + 1)
    assert examined.total <= 6 * lanes


def test_a_look_at_one_type_is_a_descent_or_two_for_each_lane_though_one_holds_thousands_of_rows(
    filled: Filled,
) -> None:
    with filled.engine.connect() as connection, examining(filled.engine) as examined:
        heads = read_heads_of(connection, filled.outbox.tasks, Status.CANCELLED, "type.00000", SHARDS)
    assert [head[:2] for head in heads] == [("type.00000", 0)]
    assert examined.total <= 4 * SHARDS


@pytest.mark.parametrize("limit", [1, 100, 1000])
@pytest.mark.parametrize(
    "chosen",
    [
        Filter(),
        Filter(task_type="type.00007"),
        Filter(status=Status.PENDING),
        Filter(task_type="type.00299", status=Status.FAILED),
    ],
)
def test_a_list_reads_what_it_returns(filled: Filled, chosen: Filter, limit: int) -> None:
    first = filled.page(chosen, limit)
    for cursor in (None, first.next):
        with examining(filled.engine) as examined:
            page = filled.page(chosen, limit, cursor)
        assert examined.total <= 2 * (len(page.rows) + 1) + 40


def test_a_filter_within_a_key_of_many_rows_reads_a_bounded_part_of_them_and_tells_where_to_go_on(
    filled: Filled,
) -> None:
    chosen, cursor, found, pages = Filter(key="busy", status=Status.FAILED), None, 0, 0
    while pages == 0 or cursor is not None:
        with examining(filled.engine) as examined:
            page = filled.page(chosen, 50, cursor)
        assert examined.total <= 2 * 3000
        cursor, found, pages = page.next, found + len(page.rows), pages + 1
    assert (found, pages) == (0, 4)


def test_a_filter_that_fits_within_a_key_of_many_rows_reads_what_it_returns(filled: Filled) -> None:
    with examining(filled.engine) as examined:
        page = filled.page(Filter(key="busy", task_type="type.00000"), 50)
    assert len(page.rows) == 50
    assert examined.total <= 3 * 51


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    "wanted",
    [
        {"key": "busy"},
        {"key": "busy", "task_type": "type.00000", "since": LONG_AGO},
        {"key": "busy", "until": FAR_OFF},
        {"since": LONG_AGO},
        {"until": FAR_OFF},
        {},
    ],
    ids=str,
)
def test_a_look_up_reads_what_it_returns_from_the_oldest_on_or_the_newest(
    filled: Filled, wanted: dict[str, Any], newest_first: bool
) -> None:
    with filled.engine.connect() as connection, examining(filled.engine) as examined:
        page = filled.outbox.find(connection, **wanted, newest_first=newest_first, limit=50)
    assert len(page) == 50
    assert examined.total <= 3 * 51 + 20


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("within", [{"key": "busy"}, {"since": LONG_AGO}], ids=str)
def test_a_look_up_that_finds_nothing_reads_a_bounded_part_of_the_table(
    filled: Filled, within: dict[str, Any], newest_first: bool
) -> None:
    nobody: dict[str, Any] = {"task_type": "nobody", "newest_first": newest_first}
    with filled.engine.connect() as connection, examining(filled.engine) as examined:
        page = filled.outbox.find(connection, **within, **nobody)
    assert (len(page), page.next is None) == (0, False)
    assert examined.total <= 2 * 3000


def test_dead_letters_of_a_key_of_many_rows_come_in_bounded_pages_which_tell_where_to_go_on(filled: Filled) -> None:
    letters, cursor, pages = DeadLetters(filled.engine, filled.outbox), None, 0
    while pages == 0 or cursor is not None:
        with examining(filled.engine) as examined:
            page = letters.list(key="busy", after=cursor)
        assert page.letters == []
        assert examined.total <= 2 * 3000
        cursor, pages = page.next, pages + 1
    assert pages == 4


def test_the_report_takes_a_few_statements_however_many_types_there_are(filled: Filled) -> None:
    with examining(filled.engine) as examined:
        told = report(filled.engine, filled.outbox)
    assert len(told.types) == TYPES
    first = told.types[0]
    pending = min(2 * SHARDS, told.count_limit)
    assert (first.pending, first.succeeded, first.failed) == (pending, SHARDS, SHARDS)
    assert first.oldest_due_seconds is not None
    assert first.oldest_due_seconds > 10
    assert len(told.dead_letters) == 5
    assert len(examined.statements) <= 16
    assert examined.total <= 20 * TYPES * SHARDS


def test_the_diagnosis_reads_a_bounded_part_and_tells_where_it_ended(filled: Filled) -> None:
    with examining(filled.engine) as examined:
        findings = diagnose(filled.engine, filled.outbox, stuck_seconds=5)
    assert Code.NO_INSTANCE in {finding.code for finding in findings}
    assert examined.most <= 5 * (MOST_LANES + 1)
    assert len(examined.statements) <= 30


def test_the_explanation_of_a_task_reads_its_type_alone(filled: Filled) -> None:
    (row,) = filled.page(Filter(task_type="type.00042", status=Status.PENDING), 1).rows
    with examining(filled.engine) as examined:
        explain(filled.engine, filled.outbox, row.id)
    assert examined.total <= 6 * SHARDS + 50


def test_counts_of_one_type_read_that_type_alone(filled: Filled) -> None:
    with filled.engine.connect() as connection, examining(filled.engine) as examined:
        counts = TaskView(filled.outbox).counts(connection, "type.00042")
    assert counts.of(Status.PENDING, "type.00042") == 2 * SHARDS
    assert len(examined.statements) == 1
    assert examined.total <= 3 * sum(counts.counts.values()) + 50


def test_a_hold_of_one_type_looks_at_that_type_alone(filled: Filled) -> None:
    claims = ServiceClaims(filled.outbox, filled.engine, deletes=False)
    with filled.engine.connect() as connection, examining(filled.engine) as examined:
        held = claims.hold(connection, "w", {"type.00042": 10}, 60)
        connection.rollback()
    assert len(held) == 10
    assert examined.total <= 12 * SHARDS


def test_of_many_holds_one_asks_what_the_planner_believes(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner_statistics, "MANY_ROWS", 1)
    claims = ServiceClaims(filled.outbox, filled.engine, deletes=False)
    with Statements(filled.engine) as sent:
        for _ in range(4):
            with filled.engine.connect() as connection:
                assert claims.hold(connection, "w", {"type.00042": 10}, 60)
                connection.rollback()
    asked = sum("reltuples" in statement for statement, _ in sent)
    assert asked == (1 if filled.engine.dialect.name == "postgresql" else 0)


def test_parked_keys_are_asked_for_rows_aside_one_by_one_beside_a_key_of_many_rows(filled: Filled) -> None:
    parked, count = filled.outbox.parked_keys, 300
    its = {"task_type": "type.00299", "shard": 0, "since": timedelta(seconds=-9999), "due": NO_TIME}
    keys = [f"key-{number}" for number in range(count)]
    statement = read_keys_with_rows_aside(parked, filled.outbox.tasks)
    with filled.engine.connect() as connection:
        connection.execute(insert(parked), [{**its, "task_key": key} for key in keys])
        connection.commit()
        analyze(filled.engine, parked)
        with examining(filled.engine) as examined:
            found = connection.execute(statement, {"types": ["type.00299"], "keys": keys}).all()
        connection.execute(delete(parked))
        connection.commit()
    assert found == []
    assert examined.total <= 4 * count


def looks_at_heads(examined: Examined) -> int:
    """Return how many of the statements looked at heads, which alone ask for the time that is left."""
    return sum(
        bool(re.search("moment_of|TIMESTAMPDIFF.*GROUP BY|RECURSIVE heads", one, re.S)) for one in examined.statements
    )


def test_the_cleaner_looks_once_for_many_batches(filled: Filled) -> None:
    scheduler = Scheduler(filled.engine, filled.outbox, {"kafka": MemoryPublisher()}, lease_seconds=600)
    scheduler.ownership.acquire()
    cleaner: Cleaner = scheduler.machinery.staff.cleaner
    try:
        with examining(filled.engine) as examined:
            for _ in range(20):
                assert cleaner.step() == scheduler.settings.cleaning_pause_seconds
        tasks = filled.outbox.tasks
        with filled.engine.connect() as connection:
            left = connection.execute(
                select(text("count(*)")).where(tasks.c.status == int(Status.SUCCESS))
            ).scalar_one()
        assert TYPES * SHARDS - left == 20 * 64  # a row of each lane
        assert looks_at_heads(examined) <= 4
        assert examined.total <= 10 * 20 * 64
    finally:
        cleaner.close()
        scheduler.ownership.release()


def test_a_relay_among_many_lanes_reads_a_few_rows_for_each_that_it_sends_and_many_in_a_round(filled: Filled) -> None:
    publisher = MemoryPublisher()
    scheduler = Scheduler(filled.engine, filled.outbox, {"kafka": publisher}, lease_seconds=600)
    scheduler.ownership.acquire()
    (relay,) = scheduler.relays
    try:
        for _ in range(8):  # in which its rounds grow
            relay.step()
        before = len(publisher.records)
        with examining(filled.engine) as examined:
            for _ in range(8):
                relay.step()
        sent = len(publisher.records) - before
        assert sent >= 8 * 1500
        assert len(examined.statements) <= 8 * 5
        assert examined.most <= 4 * (MOST_LANES + 1)
        assert examined.total <= 8 * sent
    finally:
        scheduler.stop(timeout_seconds=10)


def test_a_reshard_reads_what_is_not_settled_alone(filled: Filled) -> None:
    smaller = Outbox(MetaData(), shard_count=8)
    tasks = filled.outbox.tasks
    with filled.engine.connect() as connection:
        pending = connection.execute(select(text("count(*)")).where(tasks.c.status == int(Status.PENDING))).scalar_one()
    with examining(filled.engine) as examined:
        assert reshard(filled.engine, smaller) > pending / 2
    assert examined.total <= 4 * pending
    with filled.engine.connect() as connection:
        shards = connection.execute(select(tasks.c.shard).where(tasks.c.status == int(Status.PENDING)).distinct())
        assert set(shards.scalars()) <= set(range(8))
