"""Each finding, from its real situation on a real database: its code, what it concerns, and its sentence."""

from __future__ import annotations

import re
import shlex
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, insert, select, update

from asyncflow import Outbox, Status
from asyncflow.cli import parser
from asyncflow.events import ArchiveGoesOn, ArchiveHeldUp, RollOverGoesOn, RollOverHeldUp
from asyncflow.scheduler import SENT, Configurations, Rejected, Scheduler
from asyncflow.scheduler.cluster.bulletin import ClockGap
from asyncflow.scheduler.diagnosis import sight
from asyncflow.scheduler.diagnosis.diagnose import diagnose, is_stuck
from asyncflow.scheduler.diagnosis.explain import explain
from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.diagnosis.conftest import QUICK
from tests.integration.scheduler.publishers import LONG, Gate, Switch
from tests.integration.scheduler.writing import alter, long_ago, publish, publish_foreign, publish_many
from tests.support.application import Application
from tests.support.databases import open_engine
from tests.unit.scheduler.waiting import eventually

AT_ONCE = {"stuck_seconds": 0.05}


def found(application: Application, **options: Any) -> dict[Code, Finding]:
    return {one.code: one for one in diagnose(application.engine, application.outbox, **{**AT_ONCE, **options})}


def when_found(application: Application, code: Code, *about: str, **options: Any) -> Finding:
    """Wait until there is a finding of a code, whose sentence has something in it."""
    seen: list[Finding] = []

    def is_there() -> bool:
        every = diagnose(application.engine, application.outbox, **{**AT_ONCE, **options})
        seen[:] = [one for one in every if one.code is code and all(part in one.cause for part in about)]
        return bool(seen)

    eventually(is_there)
    assert_can_be_typed(seen[0].remedy)
    return seen[0]


def assert_can_be_typed(remedy: str) -> None:
    """Raise SystemExit if what a remedy names is no command; each of them is found so in some test."""
    _, *commands = remedy.split("asyncflow ")
    for command in commands:
        parser().parse_args(shlex.split(command.partition("  # ")[0]))


def test_nothing_is_found_where_all_is_well(application: Application, schedule: Schedule) -> None:
    assert found(application) == {}
    scheduler = schedule(**QUICK)
    scheduler.start()
    publish_many(application, 5)
    eventually(lambda: application.statuses() == [Status.SUCCESS] * 5)
    assert found(application) == {}


def test_without_a_scheduler_what_is_due_waits_for_one(application: Application, schedule: Schedule) -> None:
    publish(application)
    alter(application, "order_time = '2026-01-01 00:00:00.000000'")
    told = found(application)
    assert list(told) == [Code.NO_INSTANCE]
    finding = told[Code.NO_INSTANCE]
    assert finding.cause.startswith("No scheduler runs, and none has taken a shard here yet; the oldest due task waits")
    assert finding.concerns == "tasks of user.registered"
    assert finding.since is not None
    assert finding.since.year == 2026
    assert finding.remedy == "asyncflow run MODULE:SCHEDULER"
    assert is_stuck([finding])
    scheduler = schedule(Switch(away=True), **QUICK)
    scheduler.ownership.acquire()
    scheduler.ownership.release()
    assert "none has taken" not in found(application)[Code.NO_INSTANCE].cause


def test_a_type_that_waits_is_told_with_the_reason_of_its_own(application: Application, schedule: Schedule) -> None:
    outbox, hang = application.outbox, threading.Event()
    outbox.message("switched.off", enabled=False)
    outbox.message("rated", rate_limit_per_second=0.01)
    outbox.message("unreachable", destination="away")
    outbox.message("in.order", ordered=True, max_retries=0)
    outbox.task("unhandled")
    outbox.message("paused.later")
    Configurations(application.engine, outbox).put("paused.later", enabled=False)

    @outbox.task("hanging", concurrency=1)
    def hanging() -> None:
        hang.wait(2 * LONG)

    @outbox.task("at.intervals", interval_seconds=2 * LONG, limit=1)
    def at_intervals() -> None: ...

    publish_foreign(application.engine, "ghost")
    for name in ("switched.off", "unreachable", "paused.later"):
        publish(application, task_type=name)
    publish_many(application, 4, "rated")
    with application.session() as session, session.begin():
        outbox.enqueue(session, "unhandled")
        for name in ("hanging", "at.intervals") * 3:
            outbox.enqueue(session, name)
    first = publish(application, task_type="in.order", key="A1")
    publish(application, task_type="in.order", key="A1")
    publishers = {
        "kafka": MemoryPublisher(lambda one: Rejected("too large") if one.topic == "in.order" else SENT),
        "away": Switch(away=True),
    }
    scheduler = schedule(publishers, **QUICK)
    scheduler.start()
    try:
        said = {
            code: when_found(application, code, about)
            for code, about in (
                (Code.TYPE_UNDECLARED, "ghost"),
                (Code.TYPE_UNHANDLED, "unhandled"),
                (Code.TYPE_OFF, "switched.off"),
                (Code.RATE_SPENT, "rated"),
                (Code.BREAKER_OPEN, "unreachable"),
                (Code.HANDLERS_HANG, "hanging"),
                (Code.KEY_PARKED, "A1"),
                (Code.DEAD_LETTERS_NEW, "in.order"),
            )
        }
        assert when_found(application, Code.TYPE_OFF, "paused.later").remedy == (
            "asyncflow config set --type paused.later --option enabled=true"
        )
        assert when_found(application, Code.RATE_SPENT, "at.intervals").remedy == (
            "asyncflow config set --type at.intervals --option interval_seconds=SECONDS --register"
        )
        nameless = Outbox(MetaData())  # of who names no application, as at the command line
        (off,) = (one for one in diagnose(application.engine, nameless, **AT_ONCE) if one.name == "switched.off")
        assert (off.code, off.remedy) == (Code.TYPE_OFF, said[Code.TYPE_OFF].remedy)
    finally:
        hang.set()
    assert said[Code.TYPE_OFF].remedy == "asyncflow config set --type switched.off --option enabled=true --register"
    assert said[Code.RATE_SPENT].remedy.startswith("outbox.message('rated', rate_limit_per_second=MORE)")
    told = {code: finding.cause for code, finding in said.items()}
    owner = scheduler.ownership.owner
    assert told[Code.TYPE_UNDECLARED].endswith("the one instance that runs does not declare it, and left it alone.")
    assert told[Code.TYPE_UNHANDLED].endswith(
        "it is declared, but no instance has a handler for it, and no worker of a task service takes it."
    )
    assert told[Code.TYPE_OFF].endswith(": it is switched off.")
    assert ": its rate is spent: more tasks come than its rate_limit_per_second" in told[Code.RATE_SPENT]
    assert told[Code.BREAKER_OPEN].startswith(
        f"away cannot be reached by {owner}: connection refused; it is tried again "
    )
    assert told[Code.BREAKER_OPEN].endswith("; due tasks of unreachable wait, and spend no attempts.")
    assert f": its only handler has been at work on {owner} for " in told[Code.HANDLERS_HANG]
    assert f"behind the dead letter {first}: the type is ordered" in told[Code.KEY_PARKED]
    assert told[Code.DEAD_LETTERS_NEW] == "1 task of in.order became a dead letter within 60 min: too large."
    stuck = {code for code, finding in said.items() if finding.severity is Severity.STUCK}
    assert stuck == {
        Code.TYPE_UNDECLARED,
        Code.TYPE_UNHANDLED,
        Code.BREAKER_OPEN,
        Code.HANDLERS_HANG,
        Code.KEY_PARKED,
    }


def test_claimed_tasks_that_wait_behind_handlers_that_hang_are_told_of(
    application: Application, schedule: Schedule
) -> None:
    hang = threading.Event()

    @application.outbox.task("hanging", concurrency=1, limit=10)
    def hanging(number: int) -> None:
        if number:
            hang.wait(2 * LONG)

    with application.session() as session, session.begin():
        ids = [application.outbox.enqueue(session, "hanging", number=number) for number in range(4)]
    schedule(**QUICK).start()
    try:
        finding = when_found(application, Code.HANDLERS_HANG, "2 claimed tasks of hanging wait: its only handler")
        assert "; usually one takes " in finding.cause
        why = explain(application.engine, application.outbox, ids[3]).why
        assert " s, and 2 claimed tasks wait for them, of which this may be one; if nothing more is heard, " in why
        assert finding.severity is Severity.STUCK
    finally:
        hang.set()


def test_what_nobody_owns_and_what_is_drained_is_told(application: Application, schedule: Schedule) -> None:
    scheduler = schedule(Switch(away=True), instance_count=64, instance_index=0, **QUICK)
    publish_many(application, 200)
    scheduler.start()
    finding = when_found(application, Code.SHARDS_UNOWNED, "fixed shares")
    assert finding.cause.startswith("Nobody owns ")
    assert "tasks of user.registered are due" in finding.cause
    assert finding.severity is Severity.STUCK


def test_tasks_in_shards_that_nobody_has_are_told_as_such(application: Application, schedule: Schedule) -> None:
    schedule(**QUICK).start()
    other = Outbox(MetaData(), shard_count=8192)  # as a process of another version declares it
    other.message("user.registered")
    with application.session() as session, session.begin():
        for number in range(20):
            other.publish(session, "user.registered", {"number": number})
    finding = when_found(application, Code.SHARDS_UNOWNED, "Tasks of user.registered stand in shards from ")
    assert "there are 64: they were enqueued with another shard_count" in finding.cause
    assert finding.remedy.startswith("asyncflow reshard ")
    assert Code.TYPE_BEHIND not in found(application)


def test_the_only_instance_that_is_drained_is_told_of(application: Application, schedule: Schedule) -> None:
    scheduler = schedule(**{**QUICK, "lease_seconds": 600.0})  # which does not run out: that would look alike
    scheduler.start()
    eventually(lambda: len(scheduler.ownership.epochs()) == 64)
    Instances(application.engine, application.outbox).drain(scheduler.ownership.owner)
    eventually(lambda: not scheduler.ownership.epochs())
    publish_many(application, 20)
    long_ago(application)
    finding = when_found(application, Code.SHARDS_UNOWNED, "being drained")
    assert finding.severity is Severity.STUCK
    assert finding.remedy.startswith("asyncflow instances undrain --name ")


def test_more_than_is_done_is_told_as_such_while_somebody_works(application: Application, schedule: Schedule) -> None:
    gate = Gate()
    publish_many(application, 5)
    schedule(gate, round_size=1, **QUICK).start()
    gate.wait()
    finding = when_found(application, Code.TYPE_BEHIND, "is at work")
    assert finding.severity is Severity.TROUBLE
    assert "nothing stands in its way: more comes than is done" in finding.cause
    gate.opened.set()


def test_locks_of_others_are_told_with_the_statement_that_finds_them(
    application: Application, schedule: Schedule
) -> None:
    @application.outbox.task("work")
    def work() -> None: ...

    publish(application)
    with application.session() as session, session.begin():
        application.outbox.enqueue(session, "work")
    with application.engine.connect() as holder:
        holder.execute(select(application.outbox.tasks.c.id).with_for_update()).all()
        schedule(**QUICK).start()
        for name in ("work", "user.registered"):
            finding = when_found(application, Code.TYPE_BEHIND, f" of {name} waits ", "met locks of somebody else")
            statement = finding.remedy.partition(";  -- ")[0]
            assert holder.exec_driver_sql(statement).all()  # the holder itself among them
    eventually(lambda: application.statuses() == [Status.SUCCESS] * 2)


def test_fenced_writes_other_versions_settings_and_clocks_are_told(
    application: Application, schedule: Schedule
) -> None:
    publish_many(application, 10)
    late = Gate()
    alone = {"instance_count": 1, **QUICK}
    first = schedule(late, **alone)
    first.cluster.registry.clock_gap = ClockGap(lambda: time.time() + 100)  # type: ignore[attr-defined]
    first.start()
    late.wait()
    second = schedule(**{**alone, "round_size": 7, "lease_seconds": 600.0})  # which nobody renews
    second.ownership.acquire()
    older = {"job": "outbox", "instance": "older", "leaving": True}
    lease = {"joined_at": timedelta(0), "lease_until": timedelta(seconds=600)}
    with application.engine.begin() as connection:
        connection.execute(insert(application.outbox.instances).values(**older, **lease))
    late.opened.set()
    finding = when_found(application, Code.WRITES_FENCED, first.ownership.owner)
    assert finding.cause.startswith(
        f"10 settles of {first.ownership.owner} changed nothing, for others owned the shards"
    )
    assert "two instances have one instance_index" in finding.cause
    finding = when_found(application, Code.CLOCKS_APART)
    assert "100 s ahead of the database's" in finding.cause or "2 min ahead of the database's" in finding.cause
    assert "one that tells nothing (older)" in when_found(application, Code.VERSIONS_DIFFER).cause
    told = when_found(application, Code.SETTINGS_DIFFER, "round_size").cause
    assert "round_size is " in told
    assert f"7 ({second.ownership.owner})" in told
    assert f"the default ({first.ownership.owner})" in told
    second.ownership.release()


def test_claims_that_run_out_again_and_again_name_the_task_that_kills(
    application: Application, schedule: Schedule
) -> None:
    # More retries than it can die before the instance has told of its deaths.
    @application.outbox.task("deadly", max_retries=1_000_000, retry_interval_seconds=0.01, enabled=False)
    def deadly() -> None: ...

    with application.session() as session, session.begin():
        task_id = application.outbox.enqueue(session, "deadly")
    schedule(monitor_interval_seconds=0.05, **QUICK).start()

    def dies() -> bool:
        """Be a worker that claims the task and is killed."""
        alter(
            application,
            "status = 1, owner = 'killed', retry_count = retry_count + 1, order_time = '2026-01-01 00:00:00.000000'",
            "status = 0",
        )
        return Code.CLAIMS_RUN_OUT in found(application)

    eventually(dies)
    finding = when_found(application, Code.CLAIMS_RUN_OUT, str(task_id))
    assert f"the task {task_id} may kill its worker: it was begun " in finding.cause
    assert finding.remedy == f"asyncflow explain {task_id}"

    def is_blamed() -> bool:
        """Be a task that nobody has begun, however often the monitor still gives it back."""
        alter(application, "retry_count = 0", "status = 0")
        return f"{task_id} may kill" in when_found(application, Code.CLAIMS_RUN_OUT).cause

    eventually(lambda: not is_blamed())
    assert "died, hung or were cut off" in when_found(application, Code.CLAIMS_RUN_OUT).cause


def test_a_pool_that_gives_nothing_and_a_loop_that_fails_are_told(
    application: Application, server: Any, made: list[Scheduler]
) -> None:
    engine = open_engine(server, pool_size=8, max_overflow=0, pool_timeout=0.05)
    scheduler = Scheduler(engine, application.outbox, {"kafka": Switch()}, **QUICK)
    made.append(scheduler)
    # By an application that keeps its connections: one is left for the heartbeat, and one for all other loops.
    kept = [engine.connect() for _ in range(6)]
    try:
        scheduler.start()
        finding = when_found(application, Code.POOL_TOO_SMALL)
        assert finding.cause.startswith(f"Loops of {scheduler.ownership.owner} waited ")
        assert "times in vain for a connection of the pool" in finding.cause
        failing = when_found(application, Code.LOOP_FAILING)
        assert "times in a row: TimeoutError: QueuePool limit" in failing.cause
        assert failing.severity is Severity.STUCK
    finally:
        for connection in kept:
            connection.close()
    eventually(lambda: Code.LOOP_FAILING not in found(application))
    scheduler.stop(timeout_seconds=10)
    engine.dispose()


def test_an_archive_that_takes_nothing_is_told_until_it_goes_on(
    application: Application, schedule: Schedule, tmp_path: Path
) -> None:
    scheduler = schedule(archive_directory=str(tmp_path), **QUICK)
    scheduler.start()
    scheduler.hooks.emit(ArchiveHeldUp("/archive", "OSError: No space left"))
    finding = when_found(application, Code.ARCHIVE_HELD_UP)
    assert "can archive nothing, so it deletes and drops nothing: /archive: OSError: No space left" in finding.cause
    scheduler.hooks.emit(ArchiveGoesOn("/archive"))
    eventually(lambda: Code.ARCHIVE_HELD_UP not in found(application))


def test_a_roll_over_that_cannot_go_on_is_told_until_it_does(application: Application, schedule: Schedule) -> None:
    scheduler = schedule(**QUICK)
    scheduler.start()
    scheduler.hooks.emit(RollOverHeldUp("asyncflow_task_1", "the database answered to create it: denied"))
    finding = when_found(application, Code.ROLL_OVER_HELD_UP)
    assert "and tries again: asyncflow_task_1: the database answered to create" in finding.cause
    scheduler.hooks.emit(RollOverGoesOn("asyncflow_task_1"))
    eventually(lambda: Code.ROLL_OVER_HELD_UP not in found(application))


def test_rows_that_stay_when_their_retention_is_over_are_told(application: Application, schedule: Schedule) -> None:
    publish_many(application, 200)
    alter(application, "status = 2")
    long_ago(application)
    # In its first step it deletes one, then it takes its time.
    schedule(cleaning_batch=1, cleaning_pause_seconds=1000.0, **QUICK).start()
    finding = when_found(application, Code.CLEANING_BEHIND)
    assert finding.cause.startswith("SUCCESS rows of user.registered are kept for 3 d, and the oldest was settled ")
    assert finding.severity is Severity.TROUBLE


def test_a_table_and_an_index_that_differ_are_told_before_anything_is_read(application: Application) -> None:
    tasks, instances = application.outbox.tasks, application.outbox.instances
    (head,) = (index for index in tasks.indexes if index.name == "ix_asyncflow_task_head")
    with application.engine.begin() as connection:
        head.drop(connection)
        connection.exec_driver_sql(f"CREATE INDEX {head.name} ON {tasks.fullname} (status, task_type)")
        connection.exec_driver_sql(f"ALTER TABLE {instances.fullname} DROP COLUMN state")
    told = {one.name: one for one in diagnose(application.engine, application.outbox)}
    assert set(told) == {tasks.fullname, instances.fullname}
    assert {one.code for one in told.values()} == {Code.TABLE_DIFFERS}
    assert told[instances.fullname].cause.startswith("The table asyncflow_instance lacks state; ")
    assert "ix_asyncflow_task_head is on (status, task_type)" in told[tasks.fullname].cause


def test_types_behind_too_many_lanes_are_told_to_be_unseen(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "_MOST_PARTS", 1)  # of 1,024 lanes
    names = [f"many.{number:02}" for number in range(40)]
    for name in names:
        application.outbox.message(name)
        publish_many(application, 60, name)
    scheduler = schedule(Switch(away=True), **QUICK)
    scheduler.ownership.acquire()
    finding = when_found(application, Code.LOOKED_IN_PART)
    scheduler.ownership.release()
    assert re.fullmatch(
        r"There are too many lanes .*; task types behind many\.\d\d were not looked at\.", finding.cause
    )
    assert finding.name.removeprefix("behind ") in names[10:-1]
    assert finding.severity is Severity.NOTICE


def test_dead_letters_are_grouped_by_what_they_died_of(application: Application) -> None:
    ids = publish_many(application, 5)
    logs = ["no user 17 in 'eu'", "no user 4711 in 'us'", "no user 3 in 'eu'", "refused", "no user 1 in 'x'"]
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        for number, (task_id, log) in enumerate(zip(ids, logs, strict=True)):
            age = timedelta(hours=-5) if number == 4 else timedelta(seconds=-number)
            failed = {"status": int(Status.FAILED), "order_time": age}
            failed["schedule_log"] = f"2026-01-01T00:00:00Z {log} [app.py:12 in get]\n"
            connection.execute(update(tasks).where(tasks.c.id == task_id).values(**failed))
    told = [one for one in diagnose(application.engine, application.outbox) if one.code is Code.DEAD_LETTERS_NEW]
    assert [one.cause for one in sorted(told, key=lambda one: -len(one.cause))] == [
        "3 tasks of user.registered became dead letters within 60 min: no user … in '…'.",
        "1 task of user.registered became a dead letter within 60 min: refused.",
    ]
