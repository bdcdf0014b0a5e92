from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select

from asyncflow import Scheduler, Status
from asyncflow.errors import ShardCountMismatchError
from asyncflow.events import OwnershipChanged, SettleFenced, TasksSettled
from asyncflow.scheduler import Rejected
from asyncflow.scheduler.relay.round_writer import RoundWriter
from asyncflow.scheduler.relay.settlement import Settlement
from asyncflow.testing import MemoryPublisher, Signals
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import LONG, Gate, Meanwhile, ids_of
from tests.integration.scheduler.settled import wait_for_settled
from tests.integration.scheduler.writing import alter, publish, publish_many, texts
from tests.support.application import Application

ALONE: dict[str, Any] = {"instance_count": 1}  # a fixed share, seized at the start whoever holds it


def test_a_late_settle_changes_nothing_and_its_instance_stops_fetching(
    application: Application, schedule: Schedule
) -> None:
    ids = publish_many(application, 10)
    late = Gate(lambda _: Rejected("the late writer must not say so"))
    first = schedule(late, **ALONE)
    first.start()
    late.wait()
    second_publisher, second_signals = MemoryPublisher(), Signals()
    second = schedule(second_publisher, second_signals, **ALONE)
    second.ownership.acquire()
    late.opened.set()
    assert application.signals.wait_for(SettleFenced).tasks == 10
    lost = application.signals.wait_for(
        OwnershipChanged, lambda event: event.owner == first.ownership.owner and event.lost != ()
    )
    assert lost.shards == ()
    assert {(row.status, row.retry_count, row.schedule_log) for row in application.rows()} == {
        (Status.PENDING, 0, None)
    }
    more = publish_many(application, 10)
    second.start()
    wait_for_settled(second_signals, "kafka", 20)
    assert sorted(ids_of(second_publisher)) == sorted(texts(ids + more))
    assert first.ownership.epochs() == {}
    assert len(late.records) == 10


def test_the_first_comes_back_to_rows_that_the_second_delivered(application: Application, schedule: Schedule) -> None:
    publish_many(application, 10)
    late = Gate()
    schedule(late, **ALONE).start()
    late.wait()
    second_publisher, second_signals = MemoryPublisher(), Signals()
    schedule(second_publisher, second_signals, **ALONE).start()
    wait_for_settled(second_signals, "kafka", 10)
    before = application.rows()
    late.opened.set()
    assert application.signals.wait_for(SettleFenced).tasks == 10
    assert application.rows() == before


def test_only_the_shards_that_were_taken_are_fenced(engine: Engine, made: list[Scheduler]) -> None:
    application = Application(engine, shard_count=2)
    publish_many(application, 40)
    taken = {row.id for row in application.rows() if row.shard == 1}
    late = Gate()
    first, second = application.scheduler(late, **ALONE), application.scheduler(instance_index=1, instance_count=2)
    made.extend([first, second])
    first.start()
    late.wait()
    second.ownership.acquire()
    late.opened.set()
    assert application.signals.wait_for(SettleFenced).tasks == len(taken)
    application.signals.wait_for(OwnershipChanged, lambda event: event.lost == (1,))
    assert {row.id for row in application.rows() if row.status == Status.PENDING} == taken
    assert list(first.ownership.epochs()) == [0]


@pytest.mark.parametrize("fate", ["cancelled", "deleted"])
def test_a_row_that_somebody_settled_meanwhile_is_counted_and_left(
    fate: str, application: Application, schedule: Schedule
) -> None:
    publish_many(application, 9)
    other = publish(application)
    tasks = application.outbox.tasks

    def settle() -> None:
        with application.engine.begin() as connection:
            if fate == "deleted":
                connection.execute(delete(tasks).where(tasks.c.id == other))
            else:
                connection.execute(tasks.update().where(tasks.c.id == other).values(status=int(Status.CANCELLED)))

    scheduler = schedule(Meanwhile(settle))
    scheduler.drain()
    assert [event.tasks for event in application.signals.of(SettleFenced)] == [1]
    statuses = {row.id: row.status for row in application.rows()}
    assert statuses.pop(other, Status.CANCELLED) == Status.CANCELLED
    assert set(statuses.values()) == {Status.SUCCESS}
    publish(application)
    scheduler.drain()
    assert len(application.signals.of(SettleFenced)) == 1


def test_a_row_settled_twice_over_all_outcomes_changes_nothing(application: Application, schedule: Schedule) -> None:
    publish_many(application, 10)
    publisher = Meanwhile(lambda: alter(application, "status = 4"))
    schedule(publisher).drain()
    assert set(application.statuses()) == {Status.CANCELLED}
    assert application.signals.of(SettleFenced)[0].tasks == 10


def test_another_shard_count_is_refused_with_the_recorded_one(application: Application, schedule: Schedule) -> None:
    schedule().drain()
    other = Application(application.engine, shard_count=16).scheduler()
    with pytest.raises(ShardCountMismatchError, match=r"shard_count of 'outbox' is 16, but .* records 64"):
        other.start()
    with pytest.raises(ShardCountMismatchError):
        other.drain()
    assert other.stop()


def test_each_owner_raises_the_epochs(application: Application, schedule: Schedule) -> None:
    for _ in range(3):
        schedule().drain()
    epochs = {row.epoch for row in application.rows(select(application.outbox.shards))}
    assert epochs == {3}


@pytest.mark.usefixtures("patient_with_locks")
def test_many_may_start_at_once_on_an_empty_table(engine: Engine, made: list[Scheduler]) -> None:
    application = Application(engine)
    schedulers = [application.scheduler(instance_index=index % 4, instance_count=4) for index in range(8)]
    made.extend(schedulers)
    together, errors = threading.Barrier(8), []

    def start(scheduler: Scheduler) -> None:
        together.wait(LONG)
        try:
            scheduler.ownership.acquire()
        except Exception as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    threads = [threading.Thread(target=start, args=(scheduler,)) for scheduler in schedulers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert errors == []
    rows: list[Any] = application.rows(select(application.outbox.shards))
    assert {row.epoch for row in rows} == {2}
    assert len({row.owner for row in rows}) == 4


def test_three_instances_share_the_rows_by_shard_and_deliver_each_once(
    application: Application, schedule: Schedule
) -> None:
    shard_of = {}
    for _ in range(3):
        publish_many(application, 100)
    for row in application.rows():
        shard_of[str(row.id)] = row.shard
    publishers = [MemoryPublisher() for _ in range(3)]
    for index, publisher in enumerate(publishers):
        schedule(publisher, instance_index=index, instance_count=3).start()
    wait_for_settled(application.signals, "kafka", 300)
    for index, publisher in enumerate(publishers):
        assert {shard_of[task_id] % 3 for task_id in ids_of(publisher)} == {index}
    delivered = [task_id for publisher in publishers for task_id in ids_of(publisher)]
    assert sorted(delivered) == sorted(shard_of)
    assert application.signals.of(SettleFenced) == []


def test_an_instance_leaves_the_shards_of_others_alone(application: Application, schedule: Schedule) -> None:
    publish_many(application, 100)
    mine = {str(row.id) for row in application.rows() if row.shard % 3 == 1}
    publisher = MemoryPublisher()
    schedule(publisher, instance_index=1, instance_count=3).drain()
    assert set(ids_of(publisher)) == mine
    assert application.statuses().count(Status.PENDING) == 100 - len(mine)


def test_a_clean_stop_leaves_the_shards_without_an_owner(application: Application, schedule: Schedule) -> None:
    scheduler = schedule()
    scheduler.start()
    shards = application.outbox.shards
    assert {row.owner for row in application.rows(select(shards))} == {scheduler.ownership.owner}
    scheduler.stop()
    assert {row.owner for row in application.rows(select(shards))} == {None}


def test_stopping_late_does_not_take_the_shards_from_the_next_owner(
    application: Application, schedule: Schedule
) -> None:
    first, second = schedule(**ALONE), schedule(**ALONE)
    first.start()
    second.start()
    first.stop()
    shards = application.outbox.shards
    assert {row.owner for row in application.rows(select(shards))} == {second.ownership.owner}
    publish(application)
    wait_for_settled(application.signals, "kafka", 1)
    assert application.signals.of(TasksSettled)


def test_nobody_takes_a_shard_between_the_look_at_its_epoch_and_the_settle(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second instance takes over in the middle of the settle: it has to wait until that is committed."""
    publish_many(application, 5)
    second = schedule(**ALONE)
    committed_before: list[set[int]] = []

    def take() -> None:
        second.ownership.acquire()
        committed_before.append(set(application.statuses()))

    taking = threading.Thread(target=take, daemon=True)
    look = RoundWriter._still_owned

    def look_and_let_another_take(*arguments: Any) -> set[int]:
        owned = look(*arguments)
        taking.start()
        taking.join(0.2)
        return owned

    monkeypatch.setattr(RoundWriter, "_still_owned", look_and_let_another_take)
    schedule().drain()
    taking.join(LONG)
    assert committed_before == [{Status.SUCCESS}]
    assert application.signals.of(SettleFenced) == []


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_rows_that_were_written_for_shards_taken_meanwhile_are_rolled_back(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_many(application, 5)
    second = schedule(**ALONE)
    write, took = Settlement.write, iter([second.ownership.acquire])

    def write_and_let_another_take(*arguments: Any, **options: Any) -> int:
        changed = write(*arguments, **options)
        next(took, lambda: None)()
        return changed

    monkeypatch.setattr(Settlement, "write", write_and_let_another_take)
    schedule().drain()
    assert set(application.statuses()) == {Status.PENDING}
    assert [event.tasks for event in application.signals.of(SettleFenced)] == [5]
