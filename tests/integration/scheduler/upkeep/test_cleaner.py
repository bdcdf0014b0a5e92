from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import URL, Column, Connection, ForeignKey, Table, create_engine, select, text

from asyncflow import Call, Outbox, Status
from asyncflow.events import SettledRowsDeleted, StepFailed, TasksSettled
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.telling.instance_state import state_from
from asyncflow.scheduler.upkeep.cleaner import Cleaner
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import LONG
from tests.integration.scheduler.relay.test_locked_rows import locked
from tests.integration.scheduler.waiters import somebody_waits
from tests.integration.scheduler.writing import alter, long_ago, publish_many, statements
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

DAY = 86400
on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


def cleaner(schedule: Schedule, **options: Any) -> Cleaner:
    """Return the cleaner of a scheduler that owns its shards and runs nothing."""
    scheduler = schedule(**options)
    scheduler.ownership.acquire()
    return scheduler.machinery.staff.cleaner


def settled(application: Application, count: int, status: Status, *, old: bool = True) -> None:
    """Write rows that were settled long ago, or just now."""
    before = {row.id for row in application.rows()}
    publish_many(application, count)
    assert len(application.rows()) == len(before) + count
    alter(application, f"status = {int(status)}, priority = {int(old)}", "status = 0")
    if old:
        long_ago(application, f"status = {int(status)} AND priority = 1")


def a_while_ago(application: Application) -> None:
    """Let all rows be older than they are kept, and not by far."""
    expired = datetime.now(timezone.utc) - timedelta(days=3, minutes=10)
    alter(application, "order_time = :at", at=f"{expired:%Y-%m-%d %H:%M:%S.%f}")


def clean(one: Cleaner, **_: Any) -> list[float]:
    """Step until a run is over; return the pauses."""
    pauses: list[float] = []
    while not pauses or pauses[-1] < 1:
        pauses.append(one.step())
        assert len(pauses) < 1000
    return pauses


def clean_until(are_free: threading.Event, one: Cleaner) -> None:
    """Clean again and again, each time waiting for locks but a moment, and once more when the rows are free."""
    while not are_free.is_set():
        clean(one)
    clean(one)


def counts(application: Application) -> Counter[tuple[int, bool]]:
    """Count rows by (status, whether they are old)."""
    return Counter((row.status, row.order_time.year == 2020) for row in application.rows())


def test_only_settled_rows_older_than_their_retention_are_deleted(application: Application, schedule: Schedule) -> None:
    for status in Status:
        if status != Status.PENDING:
            settled(application, 3, status)
            settled(application, 2, status, old=False)
    publish_many(application, 4)
    long_ago(application, "status = 0")
    clean(cleaner(schedule))
    assert counts(application) == {
        (Status.PENDING, True): 4,
        (Status.PROCESSING, True): 3,
        (Status.PROCESSING, False): 2,
        (Status.SUCCESS, False): 2,
        (Status.FAILED, False): 2,
        (Status.CANCELLED, False): 2,
    }


def test_each_status_has_its_own_retention(application: Application, schedule: Schedule) -> None:
    settled(application, 3, Status.SUCCESS)
    settled(application, 3, Status.FAILED)
    clean(cleaner(schedule, failed_retention_seconds=10 * 365 * DAY, success_retention_seconds=1))
    assert set(application.statuses()) == {Status.FAILED}


def test_a_failed_row_outlives_a_success_of_the_same_age(application: Application, schedule: Schedule) -> None:
    settled(application, 2, Status.SUCCESS, old=False)
    settled(application, 2, Status.FAILED, old=False)
    name = application.engine.dialect.name
    ago = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-5 days')", "postgresql": "now() - interval '5 days'"}
    alter(application, f"order_time = {ago.get(name, 'UTC_TIMESTAMP(6) - INTERVAL 5 DAY')}")
    clean(cleaner(schedule))
    assert set(application.statuses()) == {Status.FAILED}


def test_the_retention_begins_when_the_row_is_settled(application: Application, schedule: Schedule) -> None:
    publish_many(application, 5)
    long_ago(application)
    scheduler = schedule()
    scheduler.drain()
    clean(scheduler.machinery.staff.cleaner)
    assert application.statuses() == [Status.SUCCESS] * 5


@pytest.mark.parametrize("kept", ["success_retention_seconds", "failed_retention_seconds"])
def test_none_keeps_the_rows_for_ever(kept: str, application: Application, schedule: Schedule) -> None:
    settled(application, 3, Status.SUCCESS)
    settled(application, 3, Status.FAILED)
    clean(cleaner(schedule, **{kept: None}))
    left = Status.SUCCESS if kept.startswith("success") else Status.FAILED
    assert application.statuses() == [left] * 3


def test_without_any_retention_the_database_is_asked_for_old_turns_alone(
    application: Application, schedule: Schedule
) -> None:
    settled(application, 3, Status.SUCCESS)
    names = (
        "success_retention_seconds",
        "failed_retention_seconds",
        "dedupe_retention_seconds",
        "inbox_retention_seconds",
        "audit_retention_seconds",
    )
    one = cleaner(schedule, **dict.fromkeys(names))
    one.step()  # which looks for strays and for old charts, as seldom as every ten minutes
    with statements(application.engine) as sent:
        one.step()
    assert [statement.split()[1] for statement in sent] == ["asyncflow_turn.number"]


def test_rows_go_in_small_batches_with_pauses_between(engine: Any, made: list[Any]) -> None:
    application = Application(engine, shard_count=2)
    settled(application, 30, Status.SUCCESS)
    a_while_ago(application)
    made.append(application.scheduler(cleaning_batch=4, cleaning_pause_seconds=0.25, cleaning_interval_seconds=77))
    made[0].ownership.acquire()
    pauses = clean(made[0].machinery.staff.cleaner)
    assert set(pauses[:-1]) == {0.25}
    assert pauses[-1] == 77
    deleted = [event.rows for event in application.signals.of(SettledRowsDeleted)]
    assert sum(deleted) == 30
    assert max(deleted) == 4


def test_far_behind_batches_grow_where_rows_can_be_locked(engine: Any, made: list[Any]) -> None:
    application = Application(engine, shard_count=2)
    settled(application, 200, Status.SUCCESS)
    made.append(application.scheduler(cleaning_batch=4, cleaning_pause_seconds=0.25))
    made[0].ownership.acquire()
    pauses = clean(made[0].machinery.staff.cleaner)
    assert set(pauses[:-1]) <= {0.25, 0.5}
    assert application.rows() == []
    most = max(event.rows for event in application.signals.of(SettledRowsDeleted))
    assert most == 4 if engine.dialect.name == "sqlite" else 4 < most <= 16


def test_a_batch_is_taken_from_many_shards_at_once(application: Application, schedule: Schedule) -> None:
    settled(application, 600, Status.SUCCESS)
    pauses = clean(cleaner(schedule))
    assert application.rows() == []
    assert len(pauses) <= 4, "a pause for each shard"


def test_the_shards_of_others_are_left_to_them(application: Application, schedule: Schedule) -> None:
    settled(application, 100, Status.SUCCESS)
    clean(cleaner(schedule, instance_index=1, instance_count=3))
    assert {row.shard % 3 for row in application.rows()} == {0, 2}


def test_rows_of_undeclared_types_are_cleaned_as_well(application: Application, schedule: Schedule) -> None:
    settled(application, 3, Status.SUCCESS)
    alter(application, "task_type = 'of.yesterday'")
    clean(cleaner(schedule))
    assert application.rows() == []


def test_between_two_runs_no_connection_is_held(application: Application, schedule: Schedule) -> None:
    settled(application, 3, Status.SUCCESS)
    its_cleaner = cleaner(schedule)
    of_the_heartbeat: int = application.engine.pool.checkedout()  # type: ignore[attr-defined]
    clean(its_cleaner)
    assert application.engine.pool.checkedout() == of_the_heartbeat == 1  # type: ignore[attr-defined]


@contextmanager
def holding_rows(application: Application) -> Iterator[None]:
    """Hold the locks of all settled rows in an open transaction, as a user who looks at them one by one."""
    tasks = application.outbox.tasks
    ids = [row.id for row in application.rows()]
    with application.engine.connect() as connection:
        for task_id in ids:
            connection.execute(select(tasks.c.id).where(tasks.c.id == task_id).with_for_update())
        yield
        connection.rollback()


IMPATIENT: dict[str, dict[str, Any]] = {
    "mysql": {"init_command": "SET SESSION innodb_lock_wait_timeout = 1"},
    "postgresql": {"options": "-c lock_timeout=500"},
}


def test_while_tasks_lag_the_cleaner_gives_way_and_tells_how_far_behind_it_is(
    application: Application, schedule: Schedule
) -> None:
    settled(application, 6, Status.SUCCESS)
    a_while_ago(application)
    scheduler = schedule(cleaning_batch=2)
    scheduler.ownership.acquire()
    staff = scheduler.machinery.staff
    scheduler.hooks.emit(TasksSettled("kafka", 1, 0, 0, 0.1, waits=(3.0,)))
    assert [staff.cleaner.step() for _ in range(2)] == [0.1, 0.2]
    told = staff.teller().tell(0.0)
    assert told is not None
    state = state_from(told.text)
    assert state is not None
    assert state.cleaning_pause_seconds == 0.2
    assert 540 <= state.cleaning_behind_seconds <= 1200
    clean(staff.cleaner)
    assert application.rows() == []


@on_servers
def test_cleaning_never_blocks_an_enqueue_even_where_it_has_to_wait_itself(
    application: Application, schedule: Schedule, database_url: URL
) -> None:
    settled(application, 10, Status.SUCCESS)
    one = cleaner(schedule)
    are_free = threading.Event()
    cleaning = threading.Thread(target=lambda: clean_until(are_free, one), daemon=True)
    writer = create_engine(database_url, connect_args=IMPATIENT[database_url.get_backend_name()])
    with holding_rows(application):
        cleaning.start()
        eventually(lambda: somebody_waits(application.engine))
        with writer.begin() as connection:
            enqueue_many(application.outbox, connection)
    are_free.set()
    cleaning.join(LONG)
    writer.dispose()
    assert not cleaning.is_alive()
    assert application.statuses() == [Status.PENDING] * 200


@on_servers
def test_a_locked_context_stays_with_its_task_and_all_else_is_cleaned(
    application: Application, schedule: Schedule
) -> None:
    application.outbox.task("nothing")(lambda: None)
    contexts = application.outbox.contexts
    with application.engine.begin() as connection:
        ids = application.outbox.enqueue_many(connection, "nothing", [Call({})] * 6)
        connection.execute(contexts.insert(), [{"task_id": one, "context": "{}"} for one in ids[:3]])
    alter(application, f"status = {int(Status.SUCCESS)}")
    long_ago(application)
    one = cleaner(schedule)
    with locked(application.engine, select(contexts.c.task_id).where(contexts.c.task_id == ids[1])):
        clean(one)
        assert [row.id for row in application.rows()] == [ids[1]]
    clean(one)
    assert application.rows() == application.rows(select(contexts)) == []


@on_servers
def test_a_row_to_which_the_application_refers_stays_and_all_else_is_cleaned(
    application: Application, schedule: Schedule
) -> None:
    settled(application, 6, Status.SUCCESS)
    tasks, ids = application.outbox.tasks, [row.id for row in application.rows()]
    refers = Column("task_id", tasks.c.id.type, ForeignKey(tasks.c.id), primary_key=True)
    receipts = Table("receipts", application.Base.metadata, refers, mysql_engine="InnoDB")
    receipts.create(application.engine)
    try:
        with application.engine.begin() as connection:
            connection.execute(receipts.insert(), [{"task_id": ids[2]}])
        one = cleaner(schedule)
        clean(one)
        assert [row.id for row in application.rows()] == [ids[2]]
        assert [event.loop for event in application.signals.of(StepFailed)] == ["cleaner"] * 2  # and the look behind it
    finally:
        receipts.drop(application.engine)
    clean(one)
    assert application.rows() == []


@on_servers
def test_an_enqueue_in_an_open_transaction_never_blocks_cleaning(
    application: Application, schedule: Schedule, database_url: URL
) -> None:
    settled(application, 10, Status.SUCCESS)
    cleaning_engine = create_engine(database_url, connect_args=IMPATIENT[database_url.get_backend_name()])
    scheduler = schedule()
    scheduler.ownership.acquire()
    instance = Instance(application.outbox, cleaning_engine, scheduler.settings, scheduler.hooks)
    one = Cleaner(instance, scheduler.ownership)
    with application.engine.begin() as connection:
        enqueue_many(application.outbox, connection)
        clean(one)
        with cleaning_engine.connect() as other:
            left = other.execute(text(f"SELECT count(*) FROM {application.outbox.tasks.fullname}")).scalar_one()
        assert left == 0
    one.close()
    cleaning_engine.dispose()
    assert application.statuses() == [Status.PENDING] * 200


def enqueue_many(outbox: Outbox, connection: Connection) -> None:
    for number in range(200):
        outbox.publish(connection, "user.registered", {"n": number}, key=f"A{number}")
