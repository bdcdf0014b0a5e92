"""Finished tasks roll over into numbered tables, which are closed when they are full and dropped as a whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, MetaData, delete, event, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from asyncflow import Done, Gone, Outbox, Pending, RollOver, Status
from asyncflow.events import NumberedTableClosed, NumberedTableDropped, RollOverGoesOn, RollOverHeldUp, TasksRolledOver
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.tables import OVERFLOWN
from asyncflow.scheduler.schema.check import check
from asyncflow.scheduler.schema.upgrade import Upgrade
from asyncflow.scheduler.upkeep.rolling import keeper
from tests.integration.scheduler.upkeep.rolling.conftest import ROWS, Roll, Rolled, clean, cleaning, finish
from tests.integration.scheduler.writing import alter, publish, publish_many
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


def test_what_is_over_goes_and_what_waits_is_at_work_or_failed_stays(rolled: Rolled, roll: Roll) -> None:
    ids = publish_many(rolled, 5)
    states = (Status.SUCCESS, Status.CANCELLED, Status.FAILED, Status.PROCESSING)
    for task_id, status in zip(ids, states, strict=False):
        finish(rolled, [task_id], status)
    roll(rolled)
    assert rolled.statuses() == [Status.FAILED, Status.PROCESSING, Status.PENDING]
    assert rolled.ids_in(1) == {*ids[:2]}
    assert rolled.numbers() == {1: (2, "open"), 2: (0, "ahead")}
    assert {one.table for one in rolled.signals.of(TasksRolledOver)} == {"asyncflow_task_1"}


def test_a_row_is_moved_as_it_is(rolled: Rolled, roll: Roll) -> None:
    task_id = publish(rolled, {"n": "ünï\0"}, key="A1", headers={"trace": "1"}, priority=5)
    finish(rolled)
    (before,) = rolled.rows()
    roll(rolled)
    assert rolled.outbox.numbered_tables is not None
    (after,) = rolled.rows(select(rolled.outbox.numbered_tables.table(1)))
    assert after == before
    assert after.id == task_id


def test_what_is_finished_for_less_than_its_time_stays(engine: Engine, roll: Roll) -> None:
    application = Rolled(engine, after=timedelta(hours=1))
    publish_many(application, 3)
    finish(application)
    roll(application)
    assert len(application.rows()) == 3


def test_a_full_table_is_closed_the_next_one_begun_and_one_more_made_ahead(rolled: Rolled, roll: Roll) -> None:
    for _ in range(3):
        publish_many(rolled, ROWS)
        finish(rolled)
        roll(rolled)
    assert rolled.numbers() == dict.fromkeys((1, 2, 3), (ROWS, "closed")) | {4: (0, "open"), 5: (0, "ahead")}
    assert [(one.table, one.rows, one.following) for one in rolled.signals.of(NumberedTableClosed)] == [
        (f"asyncflow_task_{n}", ROWS, f"asyncflow_task_{n + 1}") for n in (1, 2, 3)
    ]


def test_a_table_that_is_old_is_closed_though_it_has_few_rows_and_an_empty_one_is_not(
    engine: Engine, roll: Roll
) -> None:
    application = Rolled(engine, age=timedelta(hours=1))
    publish_many(application, 3)
    finish(application)
    roll(application)
    long_open(application, 1)
    roll(application)
    assert application.numbers()[1] == (3, "closed")
    long_open(application, 2)
    roll(application)
    assert application.numbers()[2] == (0, "open")


def long_open(application: Rolled, number: int) -> None:
    p = application.positions
    with application.engine.begin() as connection:
        connection.execute(update(p).where(p.c.number == number).values(opened_at=timedelta(hours=-2)))


def test_a_table_is_dropped_with_its_contexts_when_its_time_is_over(engine: Engine, roll: Roll) -> None:
    application = Rolled(engine, keep=timedelta(0))
    ids = publish_many(application, ROWS)
    kept = publish_many(application, 1)
    with engine.begin() as connection:
        for task_id in (ids[0], *kept):
            connection.execute(insert(application.outbox.contexts).values(task_id=task_id, context="{}"))
        tasks = application.outbox.tasks
        connection.execute(update(tasks).where(tasks.c.id.in_([ids[0], *kept])).values(context=OVERFLOWN))
    finish(application, ids)
    roll(application)
    assert not inspect(engine).has_table("asyncflow_task_1")
    assert application.numbers() == {2: (0, "open"), 3: (0, "ahead")}
    assert [row.task_id for row in application.rows(select(application.outbox.contexts))] == kept
    assert [(one.table, one.rows) for one in application.signals.of(NumberedTableDropped)] == [
        ("asyncflow_task_1", ROWS)
    ]


def test_tables_that_fill_faster_than_a_forgotten_one_rests_do_not_pile_up(
    engine: Engine, roll: Roll, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = Rolled(engine, keep=timedelta(hours=1))
    for _ in range(4):
        publish_many(application, ROWS)
        finish(application)
        roll(application)
    rows = application.positions.c
    with engine.begin() as connection:
        old = update(application.positions).where(rows.closed_at.is_not(None))
        connection.execute(old.values(closed_at=timedelta(hours=-2)))
    monkeypatch.setattr(keeper, "GRACE_SECONDS", 3600.0)
    roll(application, steps=2)
    assert [state for _, state in application.numbers().values()] == ["forgotten"] * 4 + ["open", "ahead"]
    monkeypatch.setattr(keeper, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(keeper, "_PAUSE_SECONDS", 3600.0)
    roll(application)
    assert [event.table[-1] for event in application.signals.of(NumberedTableDropped)] == ["1", "2", "3", "4"]


def test_where_there_are_as_many_tables_as_a_look_up_can_read_the_open_one_grows(
    engine: Engine, roll: Roll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MOST_TABLES", 3)
    application = Rolled(engine)
    for _ in range(3):
        publish_many(application, ROWS)
        finish(application)
        roll(application)
    assert application.numbers() == {1: (ROWS, "closed"), 2: (2 * ROWS, "open"), 3: (0, "ahead")}
    assert "give RollOver more rows, or a shorter keep" in application.signals.of(RollOverHeldUp)[0].reason
    with engine.begin() as connection:
        old = update(application.positions).where(application.positions.c.number == 1)
        connection.execute(old.values(closed_at=timedelta(days=-2)))
    roll(application)
    assert application.numbers() == {2: (2 * ROWS, "closed"), 3: (0, "open"), 4: (0, "ahead")}
    assert application.signals.of(RollOverGoesOn)


def test_every_look_up_finds_what_rolled_over(rolled: Rolled, roll: Roll) -> None:
    outbox, ids = rolled.outbox, []
    for _ in range(2):  # into two tables
        ids += publish_many(rolled, ROWS, key="A1")
        finish(rolled)
        roll(rolled)
    ids += publish_many(rolled, 7, key="A1")  # and these into none
    finish(rolled, ids[-7:-3])

    def all_of(**wanted: Any) -> list[Any]:
        found: list[Any] = []
        after = None
        while True:
            with rolled.engine.connect() as connection:
                page = outbox.find(connection, **wanted, limit=30, after=after)
            found += [task.id for task in page]
            if (after := page.next) is None:
                return found

    assert all_of() == ids
    assert all_of(newest_first=True) == ids[::-1]
    assert sorted(all_of(key="A1")) == ids
    assert sorted(all_of(key="A1", newest_first=True)) == ids
    assert sorted(all_of(status=Status.SUCCESS)) == ids[:-3]
    assert all_of(status=Status.SUCCESS, task_type="user.registered", key="A1", newest_first=True)
    assert sorted(all_of(status=Status.SUCCESS, task_type="user.registered")) == ids[:-3]
    with rolled.engine.connect() as connection:
        some = [ids[3], ids[-1], ids[150], uuid4()]
        assert [task.id for task in outbox.find(connection, ids=some)] == some[:3]
        assert outbox.result(connection, ids[0]) == Done()
        assert outbox.result(connection, ids[-1]) == Pending(Status.PENDING)
        assert outbox.result(connection, uuid4()) == Gone()


@on_servers
def test_a_look_up_loses_nothing_for_a_table_that_was_dropped_meanwhile(
    rolled: Rolled, roll: Roll, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbered = rolled.outbox.numbered_tables
    assert numbered is not None
    (task_id,) = publish_many(rolled, 1)
    finish(rolled)
    roll(rolled)
    monkeypatch.setattr(numbered, "readable", lambda _: [99, 1])
    with rolled.session() as session, session.begin():
        mine = rolled.outbox.publish(session, "user.registered", {"n": 1})
        assert rolled.outbox.result(session, task_id) == Done()
        assert {task.id for task in rolled.outbox.find(session)} == {task_id, mine}
    assert {row.id for row in rolled.rows()} == {mine}


@on_servers
def test_nothing_gets_into_a_table_that_was_closed_meanwhile(rolled: Rolled, roll: Roll) -> None:
    roll(rolled)
    ids = publish_many(rolled, 3)
    finish(rolled)
    with rolled.engine.connect() as other:

        def close(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("INSERT INTO asyncflow_task_1 ") and rolled.numbers()[1][1] == "open":
                p = rolled.positions
                other.execute(update(p).where(p.c.number == 1).values(closed_at=timedelta(0)))
                other.execute(update(p).where(p.c.number == 2).values(opened_at=timedelta(0)))
                other.commit()

        event.listen(rolled.engine, "before_cursor_execute", close)
        roll(rolled)
        event.remove(rolled.engine, "before_cursor_execute", close)
    assert rolled.ids_in(1) == set()
    assert rolled.ids_in(2) == {*ids}
    assert rolled.numbers()[1] == (0, "closed")
    assert rolled.numbers()[2] == (3, "open")


@on_servers
def test_who_closes_a_table_waits_for_who_moves_into_it(rolled: Rolled, roll: Roll) -> None:
    cleaner = roll(rolled)
    ids = publish_many(rolled, 3)
    finish(rolled)
    name, p = rolled.engine.dialect.name, rolled.positions
    close = update(p).where(p.c.number == 1).values(closed_at=timedelta(0))
    with rolled.engine.connect() as mover, rolled.engine.connect() as closer:
        moved = cleaner._rolling.move(mover, [raw_form(one, name) for one in ids], Status.SUCCESS)
        assert moved is not None
        assert moved.rows == 3
        closer.exec_driver_sql("SET lock_timeout = 500" if name == "postgresql" else "SET innodb_lock_wait_timeout = 1")
        with pytest.raises(DBAPIError) as waited:
            closer.execute(close)
        assert dialect_of(name).is_lock_wait(waited.value)
        closer.rollback()
        mover.commit()
        assert closer.execute(close).rowcount == 1
        closer.commit()
    assert rolled.ids_in(1) == {*ids}


@on_servers
def test_a_drop_does_not_wait_for_a_reader_and_comes_when_he_has_gone(engine: Engine, roll: Roll) -> None:
    application = Rolled(engine, keep=timedelta(0))
    publish_many(application, ROWS)
    finish(application)
    numbered = application.outbox.numbered_tables
    assert numbered is not None
    with engine.connect() as reader:
        roll(application, steps=2)
        reader.execute(select(numbered.table(1).c.id)).all()
        roll(application, steps=5)
        assert application.numbers()[1] == (ROWS, "forgotten")
        assert len(reader.execute(select(numbered.table(1).c.id)).all()) == ROWS
        held = application.signals.of(RollOverHeldUp)
        assert "its lock was not to be had to drop it" in held[0].reason
        reader.rollback()
    roll(application)
    assert 1 not in application.numbers()
    assert not inspect(engine).has_table("asyncflow_task_1")


def test_a_table_in_which_a_hand_put_a_task_that_waits_is_not_dropped(engine: Engine, roll: Roll) -> None:
    application = Rolled(engine, keep=timedelta(hours=1))
    ids = publish_many(application, ROWS)
    finish(application)
    roll(application)
    with engine.begin() as connection:
        connection.execute(text("UPDATE asyncflow_task_1 SET status = 0"))
        old = update(application.positions).where(application.positions.c.number == 1)
        connection.execute(old.values(closed_at=timedelta(hours=-2)))
    roll(application)
    assert application.ids_in(1) == {*ids}
    assert application.numbers()[1] == (ROWS, "forgotten")
    assert "it is to be dropped, but the task" in application.signals.of(RollOverHeldUp)[0].reason


@pytest.mark.parametrize(
    "nonsense",
    [
        "UPDATE asyncflow_schedule_pos SET closed_at = NULL",
        "UPDATE asyncflow_schedule_pos SET number = -number",
        "UPDATE asyncflow_schedule_pos SET row_count = -5",
        "UPDATE asyncflow_schedule_pos SET opened_at = NULL",
        "DELETE FROM asyncflow_schedule_pos WHERE closed_at IS NULL",
    ],
)
def test_where_a_hand_made_nonsense_of_the_positions_nothing_is_moved_or_dropped(
    nonsense: str, engine: Engine, roll: Roll
) -> None:
    application = Rolled(engine, keep=timedelta(hours=1))
    for _ in range(2):
        publish_many(application, ROWS)
        finish(application)
        roll(application)
    with engine.begin() as connection:
        closed = application.positions.c.number <= 2
        connection.execute(update(application.positions).where(closed).values(closed_at=timedelta(hours=-2)))
        connection.execute(text(nonsense))
    ids = publish_many(application, 3)
    finish(application, ids)
    roll(application)
    assert inspect(engine).has_table("asyncflow_task_1")
    assert not application.signals.of(NumberedTableDropped)
    assert "the positions are not what roll-over writes" in application.signals.of(RollOverHeldUp)[0].reason
    assert {row.id for row in application.rows()} == {*ids}
    with engine.connect() as connection:
        assert {task.id for task in application.outbox.find(connection, ids=ids)} == {*ids}


def test_a_table_that_is_missing_in_the_middle_is_told_and_hides_no_other(engine: Engine, roll: Roll) -> None:
    application = Rolled(engine)
    ids = []
    for _ in range(3):
        ids += publish_many(application, ROWS)
        finish(application)
        roll(application)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE asyncflow_task_2"))
    roll(application)
    assert "asyncflow_task_2 is not there, though it has a position" in application.signals.of(RollOverHeldUp)[0].reason
    with engine.connect() as connection:
        found = [task.id for task in application.outbox.find(connection, limit=500)]
    assert found == ids[:ROWS] + ids[2 * ROWS :]


def test_a_table_whose_position_was_deleted_is_told_until_it_is_back(engine: Engine, roll: Roll) -> None:
    application = Rolled(engine)
    for _ in range(2):
        publish_many(application, ROWS)
        finish(application)
        roll(application)
    rows = application.positions.c
    with engine.begin() as connection:
        (kept,) = connection.execute(select(application.positions).where(rows.number == 1)).mappings()
        connection.execute(delete(application.positions).where(rows.number == 1))
    roll(application)
    assert "asyncflow_task_1 is there, and has no position" in application.signals.of(RollOverHeldUp)[0].reason
    assert not application.signals.of(RollOverGoesOn)
    with engine.begin() as connection:
        at = dict.fromkeys(("opened_at", "closed_at"), timedelta(0))
        connection.execute(insert(application.positions).values(number=1, row_count=kept["row_count"], **at))
    roll(application)
    assert len(application.signals.of(RollOverGoesOn)) == 1
    with engine.connect() as connection:
        assert len(list(application.outbox.find(connection, limit=500))) == 2 * ROWS


def test_where_the_open_table_takes_no_row_all_else_is_cleaned_and_the_reason_is_told_once(
    rolled: Rolled, roll: Roll
) -> None:
    roll(rolled)
    with rolled.engine.begin() as connection:
        connection.execute(text("DROP TABLE asyncflow_task_1"))
    for status in (Status.SUCCESS, Status.FAILED):
        publish_many(rolled, 2)
        finish(rolled, status=status)
    alter(rolled, "order_time = '2020-01-01 00:00:00.000000'")
    roll(rolled)
    assert rolled.statuses() == [Status.SUCCESS] * 2
    told = [held.reason for held in rolled.signals.of(RollOverHeldUp) if held.table == "asyncflow_task_1"]
    assert len(told) == 1
    assert told[0].startswith("the database answered to move rows into it: ")


def test_a_maker_who_died_in_the_midst_is_followed_by_one_who_goes_on(rolled: Rolled, roll: Roll) -> None:
    numbered = rolled.outbox.numbered_tables
    assert numbered is not None
    index = next(iter(numbered.table(1).indexes))
    with rolled.engine.begin() as connection:
        numbered.table(1).create(connection)
        index.drop(connection)
    publish_many(rolled, 2)
    finish(rolled)
    roll(rolled)
    assert rolled.numbers() == {1: (2, "open"), 2: (0, "ahead")}
    assert {one["name"] for one in inspect(rolled.engine).get_indexes("asyncflow_task_1")} >= {index.name}


def test_a_dropper_who_died_behind_the_drop_is_followed_by_one_who_goes_on(engine: Engine, roll: Roll) -> None:
    application = Rolled(engine, keep=timedelta(0))
    publish_many(application, ROWS)
    finish(application)
    roll(application, steps=3)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS asyncflow_task_1"))
    roll(application)
    assert 1 not in application.numbers()


def test_two_instances_at_once_roll_each_row_once(rolled: Rolled) -> None:
    """Each has half of the shards; both step their keepers."""
    schedulers = [rolled.scheduler(instance_index=n, instance_count=2) for n in (0, 1)]
    for scheduler in schedulers:
        scheduler.ownership.acquire()
    cleaners = [scheduler.machinery.staff.cleaner for scheduler in schedulers]
    ids = publish_many(rolled, 3 * ROWS)
    finish(rolled)
    for _ in range(40):
        for cleaner in cleaners:
            cleaner.step()
            cleaner._rolling.keep()
    for scheduler in schedulers:
        scheduler.stop(timeout_seconds=10)
    assert rolled.rows() == []
    numbers = [number for number, (_, state) in rolled.numbers().items() if state != "ahead"]
    found = [task_id for number in numbers for task_id in rolled.ids_in(number)]
    assert sorted(found) == ids
    assert sum(count for count, _ in rolled.numbers().values()) == len(ids)


def test_where_no_table_can_be_made_all_else_works_and_the_reason_is_told(
    rolled: Rolled, roll: Roll, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "CREATE TABLE" in statement:
            _cursor.execute("SELECT no_such_column FROM asyncflow_task")

    event.listen(rolled.engine, "before_cursor_execute", refuse)
    publish_many(rolled, 3)
    finish(rolled, status=Status.FAILED)
    publish_many(rolled, 2)
    finish(rolled)
    alter(rolled, "order_time = '2020-01-01 00:00:00.000000'")
    roll(rolled)
    event.remove(rolled.engine, "before_cursor_execute", refuse)
    assert rolled.statuses() == [Status.SUCCESS] * 2  # failed ones are deleted after their retention, as ever
    (held,) = rolled.signals.of(RollOverHeldUp)
    assert held.table == "asyncflow_task_1"
    assert "the role has to create and drop tables" in held.reason
    roll(rolled)
    assert rolled.rows() == []


def test_without_roll_over_again_what_is_finished_stays_and_is_deleted_after_its_retention(rolled: Rolled) -> None:
    publish_many(rolled, 3)
    finish(rolled)
    with cleaning(rolled) as cleaner:
        clean(cleaner)
    plain = Application(rolled.engine, has_tables=True)
    publish_many(plain, 2)
    finish(plain)
    with cleaning(plain, success_retention_seconds=3600.0) as cleaner:
        clean(cleaner)
        assert len(plain.rows()) == 2
        alter(plain, "order_time = '2020-01-01 00:00:00.000000'")
        clean(cleaner)
    assert plain.rows() == []
    assert len(rolled.ids_in(1)) == 3


def test_the_schema_check_knows_the_positions_and_no_numbered_table(rolled: Rolled, roll: Roll) -> None:
    roll(rolled)
    report = check(rolled.engine, rolled.outbox)
    assert "asyncflow_schedule_pos" in report.tables
    assert report.operations == ()
    with rolled.engine.begin() as connection:
        connection.execute(text("DROP TABLE asyncflow_schedule_pos"))
    assert check(rolled.engine, rolled.outbox).operations


def test_a_column_that_a_later_version_has_is_missed_in_numbered_tables_and_added_to_them(
    rolled: Rolled, roll: Roll
) -> None:
    """Every look-up names it; closed tables are read for days."""
    ids = publish_many(rolled, 150)
    finish(rolled)
    roll(rolled)
    assert rolled.numbers()[1][1] == "closed"
    with rolled.engine.begin() as connection:
        for number in (1, 2, 3):  # as a version before made them
            connection.execute(text(f"ALTER TABLE asyncflow_task_{number} DROP COLUMN stage"))
    for outbox in (rolled.outbox, Outbox(MetaData())):  # that of a command knows of no roll-over
        report = check(rolled.engine, outbox)
        assert [(one.table, one.name) for one in report.differences] == [
            (f"asyncflow_task_{number}", "stage") for number in (1, 2, 3)
        ]
    upgrade = Upgrade(rolled.engine, rolled.outbox)
    assert [upgrade.run(operation).left for operation in report.operations] == [None, None, None]
    assert check(rolled.engine, rolled.outbox).operations == ()
    with rolled.engine.connect() as connection:
        assert {task.id for task in rolled.outbox.find(connection, limit=500)} == {*ids}


def test_an_option_of_the_outbox_is_all_it_takes(engine: Engine) -> None:
    """The whole way, by a scheduler that runs: published, settled, moved, found."""
    application = Application(engine, roll_over=RollOver(rows=ROWS, after=timedelta(0)))
    ids = publish_many(application, 20)
    scheduler = application.scheduler(cleaning_interval_seconds=0.05)
    scheduler.start()
    try:
        eventually(lambda: application.rows() == [], timeout_seconds=120)
    finally:
        scheduler.stop()
    with engine.connect() as connection:
        assert [task.id for task in application.outbox.find(connection)] == ids
