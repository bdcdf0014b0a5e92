"""What was settled, and moved before that was known, is done for whoever asks for it in the task table."""

from __future__ import annotations

from uuid import uuid4

from asyncflow import Status
from asyncflow.events import SettleFenced, TasksSettled
from asyncflow.scheduler import DeadLetters, Selection
from asyncflow.scheduler.relay.keys.parking_change import ParkingChange
from asyncflow.scheduler.relay.settlement import Settlement, Unsettled
from asyncflow.scheduler.table.claim_owner import ClaimOwner
from asyncflow.scheduler.worker.claiming.claims import Claims
from asyncflow.scheduler.worker.verdict import SUCCEEDED, UNANSWERED
from tests.integration.scheduler.relay.test_locked_rows import read_tasks
from tests.integration.scheduler.upkeep.rolling.conftest import Roll, Rolled, clean, finish
from tests.integration.scheduler.writing import publish_many


def test_messages_whose_settle_had_no_answer_are_told_as_sent(rolled: Rolled) -> None:
    publish_many(rolled, 3)
    settlement = Settlement(read_tasks(rolled))
    scheduler = rolled.scheduler()
    scheduler.ownership.acquire()
    with rolled.engine.begin() as connection:
        settlement.write(connection, rolled.outbox.tasks, delete_succeeded=False)
    for _ in range(3):
        clean(scheduler.machinery.staff.cleaner)
    assert rolled.rows() == []
    again = Unsettled(settlement, ParkingChange(), scheduler.ownership.in_use(), may_be_written=True)
    scheduler.relays[0]._settler.settle(again, by_second=False)
    scheduler.stop(timeout_seconds=10)
    assert sum(event.succeeded for event in rolled.signals.of(TasksSettled)) == 3
    assert rolled.signals.of(SettleFenced) == []


def test_claims_whose_settle_had_no_answer_are_settled(rolled: Rolled, roll: Roll) -> None:
    rolled.outbox.task("handled")
    with rolled.session() as session, session.begin():
        for _ in range(2):
            rolled.outbox.enqueue(session, "handled")
    claims = Claims(rolled.outbox, rolled.engine, ClaimOwner.in_process("worker"), 60, deletes=False)
    settled, done = claims.claim([(claims.heads(), 2)])
    assert [written.changed for written in claims.settle([(settled, SUCCEEDED), (done, SUCCEEDED)])] == [2]
    roll(rolled)
    assert rolled.rows() == []
    settled.may_be_settled = done.may_be_settled = done.may_be_done = True
    written = claims.settle([(settled, SUCCEEDED), (done, UNANSWERED)])
    assert [(one.verdict.status, one.changed) for one in written] == [(Status.SUCCESS, 2)]
    claims.close()


def test_who_names_a_task_that_was_moved_is_told_its_status(rolled: Rolled, roll: Roll) -> None:
    done, cancelled = publish_many(rolled, 2)
    finish(rolled, [done])
    finish(rolled, [cancelled], Status.CANCELLED)
    roll(rolled)
    nobody = uuid4()
    changed = DeadLetters(rolled.engine, rolled.outbox).cancel(Selection(ids=[done, cancelled, nobody]), actor="ann")
    assert changed.count == 0
    assert changed.left == {done: "SUCCESS", cancelled: "CANCELLED", nobody: "missing"}
