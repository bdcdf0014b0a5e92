"""Somebody holds locks for long: a support query, a migration, a session that was lost. What is locked waits alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Select, Table, select, text

from asyncflow import Call, Message, Scheduler, SimpleJob, Status
from asyncflow.errors import RowsLockedError
from asyncflow.events import OwnershipChanged, RowsLocked, SettleFenced, StepFailed
from asyncflow.outbox.dialects.raw_ids import raw_id
from asyncflow.outbox.task import Task
from asyncflow.scheduler.publishing.order import Key
from asyncflow.scheduler.relay.keys.parking_change import ParkingChange
from asyncflow.scheduler.relay.settlement import Settlement, Unsettled
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.publishers import Meanwhile, ids_of
from tests.integration.scheduler.relay.test_order import neighbours_of
from tests.integration.scheduler.writing import publish_many, texts
from tests.support.application import Application
from tests.support.lateness import Lateness
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
OPTIONS: dict[str, Any] = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5, "tick": 0.2}


@contextmanager
def locked(engine: Engine, rows: Select[Any]) -> Iterator[None]:
    """Hold the locks of some rows in an open transaction."""
    with engine.connect() as connection:
        assert connection.execute(rows.with_for_update()).all()
        yield
        connection.rollback()


@contextmanager
def table_locked(engine: Engine, table: Table) -> Iterator[None]:
    """Hold the lock of a whole table, as a migration does."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE"))
            yield
            connection.rollback()
        else:
            connection.execute(text(f"LOCK TABLES {table.name} WRITE"))
            yield
            connection.execute(text("UNLOCK TABLES"))


def settled(application: Application, count: int) -> bool:
    tasks = application.outbox.tasks
    done = select(tasks.c.id).where(tasks.c.status == int(Status.SUCCESS))
    return len(application.rows(done)) == count


def assert_held(scheduler: Scheduler, least: int, machine: Lateness) -> None:
    """Assert that so many shards are worked on: now, or again, if the machine itself was late with their leases."""
    assert len(scheduler.ownership.epochs()) >= least or is_late(machine)
    eventually(lambda: len(scheduler.ownership.epochs()) >= least)


def is_late(machine: Lateness) -> bool:
    """Tell whether the machine stood for longer than what is left of a lease that is renewed in time."""
    return bool(machine.worst > OPTIONS["lease_seconds"] / 3)


def shards_lost(application: Application) -> list[int]:
    return [shard for event in application.signals.of(OwnershipChanged) for shard in event.lost]


def test_locked_rows_wait_and_nothing_else_does(application: Application) -> None:
    application.outbox.message("coupon", destination="cluster_b")
    application.outbox.task("nothing", concurrency=4)(lambda: None)
    ids = publish_many(application, 300)
    with application.engine.begin() as connection:
        application.outbox.publish_many(connection, "coupon", [Message({})] * 300)
        application.outbox.enqueue_many(connection, "nothing", [Call({})] * 300)
    tasks = application.outbox.tasks
    some = {rows[0].id: rows[0] for rows in map(list, _by_type(application).values())}
    publishers = {"kafka": MemoryPublisher(), "cluster_b": MemoryPublisher()}
    hooks = [application.signals]
    its = (application.engine, application.outbox, publishers)
    with (
        Lateness(application.engine, writes=True) as machine,
        locked(application.engine, select(tasks.c.id).where(tasks.c.id.in_(some))),
        Scheduler(*its, hooks=hooks, **OPTIONS),
        Scheduler(*its, hooks=hooks, **OPTIONS),
    ):
        eventually(lambda: settled(application, 900 - len(some)))
        more = publish_many(application, 300)
        eventually(lambda: settled(application, 1200 - len(some)))
        assert shards_lost(application) == [] or is_late(machine)
    assert len(some) == 3
    assert application.signals.of(RowsLocked)
    assert texts(ids + more) == set(ids_of(publishers["kafka"]))


def _by_type(application: Application) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in application.rows():
        found.setdefault(row.task_type, []).append(row)
    return found


def test_what_was_locked_is_settled_when_it_is_free_and_not_published_again(application: Application) -> None:
    ids = publish_many(application, 20)
    tasks = application.outbox.tasks
    publisher = MemoryPublisher()
    one = select(tasks.c.id).where(tasks.c.id == ids[7])
    its = (application.engine, application.outbox, {"kafka": publisher})
    with (
        Lateness(application.engine, writes=True) as machine,
        Scheduler(*its, hooks=[application.signals], **OPTIONS),
    ):
        with locked(application.engine, one):
            more = publish_many(application, 20)
            eventually(lambda: settled(application, 39) or settled(application, 40))
        eventually(lambda: settled(application, 40))
    assert sorted(ids_of(publisher)) == sorted(texts(ids + more))
    assert application.signals.of(StepFailed) == [] or is_late(machine)


def test_a_locked_row_of_an_ordered_key_holds_up_its_key_alone(application: Application) -> None:
    application.outbox.message("ordered", ordered=True)
    with application.engine.begin() as connection:
        ids = [application.outbox.publish(connection, "ordered", {}, key=f"k{n % 4}") for n in range(40)]
    tasks = application.outbox.tasks
    publisher = MemoryPublisher()
    held = locked(application.engine, select(tasks.c.id).where(tasks.c.id == ids[0]))
    with Scheduler(
        application.engine, application.outbox, {"kafka": publisher}, hooks=[application.signals], **OPTIONS
    ):
        with held:
            with application.engine.begin() as connection:
                later = [application.outbox.publish(connection, "ordered", {}, key=f"k{n % 4}") for n in range(40)]
            eventually(lambda: settled_others(application, 60))
        eventually(lambda: settled(application, 80))
    sent = ids_of(publisher)
    for number in range(4):
        of_key = [str(one) for one in (*ids[number::4], *later[number::4])]
        assert [one for one in sent if one in of_key] == of_key


def read_tasks(application: Application) -> list[Task]:
    t = application.outbox.tasks.c
    rows = application.rows(select(raw_id(t.id), t.task_type, t.shard, t.retry_count, t.max_retries))
    return [Task(found, kind, shard, None, None, None, *retries) for found, kind, shard, *retries in rows]


def settled_others(application: Application, least: int) -> bool:
    return application.statuses().count(Status.SUCCESS) >= least


def test_a_locked_shard_row_costs_no_other_shard(application: Application) -> None:
    shards = application.outbox.shards
    its = (application.engine, application.outbox, {"kafka": MemoryPublisher()})
    with (
        Lateness(application.engine, writes=True) as machine,
        Scheduler(*its, hooks=[application.signals], **OPTIONS) as scheduler,
    ):
        eventually(lambda: len(scheduler.ownership.epochs()) == application.outbox.shard_count)
        with locked(application.engine, select(shards.c.shard).where(shards.c.job == "outbox", shards.c.shard == 0)):
            publish_many(application, 300)
            here = sum(row.shard == 0 for row in application.rows())
            eventually(lambda: settled(application, 300 - here))
            seen = scheduler.cluster.clock()
            eventually(lambda: scheduler.cluster.clock() > seen + OPTIONS["lease_seconds"])
            assert_held(scheduler, application.outbox.shard_count - 1, machine)
        eventually(lambda: settled(application, 300))
    assert shards_lost(application) in ([], [0])


def test_a_locked_membership_costs_no_shard(application: Application) -> None:
    instances = application.outbox.instances
    its = (application.engine, application.outbox, {"kafka": MemoryPublisher()})
    with (
        Lateness(application.engine, writes=True) as machine,
        Scheduler(*its, hooks=[application.signals], **OPTIONS) as scheduler,
    ):
        eventually(lambda: len(scheduler.ownership.epochs()) == application.outbox.shard_count)
        with locked(application.engine, select(instances.c.instance)):
            began = scheduler.cluster.clock()
            eventually(lambda: scheduler.cluster.clock() > began + 1.5 * OPTIONS["lease_seconds"])
            assert_held(scheduler, application.outbox.shard_count, machine)
            publish_many(application, 10)
            eventually(lambda: settled(application, 10))
    assert shards_lost(application) == []


def test_a_locked_membership_of_one_job_costs_no_other_its_lease(application: Application) -> None:
    instances, job = application.outbox.instances, SimpleJob("beside", lambda _: None, cron=60.0)
    its = (application.engine, application.outbox, {"kafka": MemoryPublisher()})
    with (
        Lateness(application.engine, writes=True) as machine,
        Scheduler(*its, jobs=[job], hooks=[application.signals], **OPTIONS) as scheduler,
    ):
        eventually(lambda: len(scheduler.ownership.epochs()) == application.outbox.shard_count)
        with locked(application.engine, select(instances.c.instance).where(instances.c.job == "beside")):
            began = scheduler.cluster.clock()
            eventually(lambda: scheduler.cluster.clock() > began + 3 * OPTIONS["lease_seconds"])
            assert_held(scheduler, application.outbox.shard_count, machine)
            publish_many(application, 10)
            eventually(lambda: settled(application, 10))
    assert application.signals.of(StepFailed) == [] or is_late(machine)


def test_a_locked_row_of_one_who_is_long_dead_costs_nobody_a_lease(application: Application) -> None:
    instances = application.outbox.instances
    long_ago = {"joined_at": timedelta(seconds=-2000), "lease_until": timedelta(seconds=-1000), "leaving": False}
    its = (application.engine, application.outbox, {"kafka": MemoryPublisher()})
    with (
        Lateness(application.engine, writes=True) as machine,
        Scheduler(*its, hooks=[application.signals], **OPTIONS) as scheduler,
    ):
        eventually(lambda: len(scheduler.ownership.epochs()) == application.outbox.shard_count)
        with application.engine.connect() as somebody:
            dead = [{"job": "outbox", "instance": name, **long_ago} for name in ("dead-1", "dead-2")]
            somebody.execute(instances.insert(), dead)
            somebody.commit()
            one = (instances.c.job == "outbox", instances.c.instance == "dead-1")  # its whole key: else all are locked
            somebody.execute(select(instances).where(*one).with_for_update())
            began = scheduler.cluster.clock()
            eventually(lambda: scheduler.cluster.clock() > began + 3 * OPTIONS["lease_seconds"])
            assert_held(scheduler, application.outbox.shard_count, machine)
            publish_many(application, 10)
            eventually(lambda: settled(application, 10))
            named = select(instances.c.instance).where(instances.c.instance.like("dead%"))
            eventually(lambda: [row.instance for row in application.rows(named)] == ["dead-1"])
            somebody.rollback()
            eventually(lambda: application.rows(named) == [])
    assert application.signals.of(StepFailed) == [] or is_late(machine)


def test_parts_of_one_round_keep_their_shards_until_each_is_written(engine: Engine) -> None:
    application = Application(engine, shard_count=2)
    scheduler = application.scheduler()  # whose lease nobody renews
    scheduler.ownership.acquire()
    settler = scheduler.relays[0]._settler
    publish_many(application, 40)
    hold = scheduler.ownership.in_use()
    whole = Unsettled(Settlement(read_tasks(application)), ParkingChange(), hold)
    parts = [whole.keeping({lane}) for lane in sorted(whole.lanes())]
    tasks = application.outbox.tasks
    settler.locked.keep(parts)
    with locked(application.engine, select(tasks.c.id).where(tasks.c.shard == parts[1].settlement.succeeded[0].shard)):
        settler._write_locked()

    def is_settled() -> bool:
        settler._write_locked()
        return settled(application, 40)

    eventually(is_settled)
    assert application.signals.of(SettleFenced) == []
    assert dict(hold) == {}
    scheduler.stop()


def test_a_locked_table_costs_no_shard(application: Application) -> None:
    its = (application.engine, application.outbox, {"kafka": MemoryPublisher()})
    with (
        Lateness(application.engine, writes=True) as machine,
        Scheduler(*its, hooks=[application.signals], **OPTIONS) as scheduler,
    ):
        publish_many(application, 10)
        eventually(lambda: settled(application, 10))
        with table_locked(application.engine, application.outbox.tasks):
            began = scheduler.cluster.clock()
            eventually(lambda: scheduler.cluster.clock() > began + 1.5 * OPTIONS["lease_seconds"])
            assert_held(scheduler, application.outbox.shard_count, machine)
        publish_many(application, 10)
        eventually(lambda: settled(application, 20))
    assert shards_lost(application) == []


def test_a_row_that_stays_locked_is_told_of_at_the_end(application: Application) -> None:
    publish_many(application, 5)
    tasks = application.outbox.tasks
    with application.engine.connect() as rival:
        publisher = Meanwhile(lambda: rival.execute(select(tasks.c.id).with_for_update().limit(1)).all())
        scheduler = Scheduler(application.engine, application.outbox, {"kafka": publisher}, hooks=[application.signals])
        scheduler.drain()
        scheduler.stop()
        assert application.statuses().count(Status.SUCCESS) == 4
        rival.rollback()
    errors = [event.error for event in application.signals.of(StepFailed)]
    assert [type(error) for error in errors] == [RowsLockedError]


def test_a_key_that_waits_for_a_locked_row_hides_no_other_key_of_its_shard(application: Application) -> None:
    application.outbox.message("ordered", ordered=True)
    neighbours = neighbours_of("hot", 5, application.outbox.shard_count)
    with application.engine.begin() as connection:
        (first, *_) = application.outbox.publish_many(connection, "ordered", [Message({}, key="hot")] * 600)
        for key in neighbours:
            application.outbox.publish(connection, "ordered", {}, key=key)
    tasks = application.outbox.tasks
    publisher = MemoryPublisher()
    its = (application.engine, application.outbox, {"kafka": publisher})
    with ExitStack() as held:
        held.enter_context(locked(application.engine, select(tasks.c.id).where(tasks.c.id == first)))
        held.enter_context(Scheduler(*its, hooks=[application.signals], round_size=40, **OPTIONS))
        done = select(tasks.c.task_key).where(tasks.c.status == int(Status.SUCCESS))
        eventually(lambda: {*neighbours} <= {row.task_key for row in application.rows(done)})
        # It is read past, and not parked: there it would begin behind the row that is locked.
        assert application.rows(select(application.outbox.parked_keys)) == []
        assert application.rows(select(tasks.c.status).where(tasks.c.id == first))[0].status == Status.PENDING
    with Scheduler(*its, hooks=[application.signals], round_size=40, **OPTIONS):
        eventually(lambda: settled(application, 605))
    hot = [str(row.id) for row in application.rows() if row.task_key == "hot"]
    assert list(dict.fromkeys(one for one in ids_of(publisher) if one in set(hot))) == hot


def test_many_locked_rows_of_a_lane_hide_none_behind_them(engine: Engine) -> None:
    application = Application(engine, shard_count=2)
    application.outbox.task("nothing", concurrency=2)(lambda: None)
    publish_many(application, 300)
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, "nothing", [Call({})] * 300)
    t = application.outbox.tasks.c
    its = (application.engine, application.outbox, {"kafka": MemoryPublisher()})
    with ExitStack() as held:
        rival = held.enter_context(application.engine.connect())
        for name in ("user.registered", "nothing"):
            first = select(t.id).where(t.task_type == name).order_by(t.order_time, t.id).limit(200)
            for row in application.rows(first):  # one by one: of a small table a server may lock all
                assert rival.execute(select(t.id).where(t.id == row.id).with_for_update()).all()
        held.enter_context(Scheduler(*its, hooks=[application.signals], round_size=50, **OPTIONS))
        eventually(lambda: settled(application, 200))
    with Scheduler(*its, hooks=[application.signals], **OPTIONS):
        eventually(lambda: settled(application, 600))


def test_a_locked_key_without_a_task_of_its_own_is_written_later_and_lets_its_shard_go(engine: Engine) -> None:
    application = Application(engine, shard_count=2)
    scheduler = application.scheduler()  # whose lease nobody renews
    scheduler.ownership.acquire()
    settler, hold = scheduler.relays[0]._settler, scheduler.ownership.in_use()
    change = ParkingChange(released={Key("user.registered", "A1001"): 0})
    settler.locked.keep([Unsettled(Settlement(), change, hold)])

    def is_written() -> bool:
        settler.catch_up()
        return not settler.locked.parts

    eventually(is_written)
    assert dict(hold) == {}
    scheduler.stop()
