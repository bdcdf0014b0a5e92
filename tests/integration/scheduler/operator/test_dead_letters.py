"""Dead letters: pages, replays, cancellations and discards, each with a trace, beside running schedulers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text, update

from asyncflow import Message, RejectTask, Status, TaskContext
from asyncflow.errors import InvalidTaskTypeError, OptionError, TaskNotFoundError
from asyncflow.events import Event, TasksChanged
from asyncflow.scheduler import SENT, Audit, DeadLetters, Outcome, Record, Rejected, Selection
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

ALL = Selection(everything=True)
USERS = Selection(task_type="user.registered")


def letters_of(application: Application, *hooks: Any) -> DeadLetters:
    return DeadLetters(application.engine, application.outbox, hooks=hooks)


def publish(application: Application, count: int, task_type: str = "user.registered", **options: Any) -> list[UUID]:
    with application.session() as session, session.begin():
        return application.outbox.publish_many(session, task_type, [Message({}, **options) for _ in range(count)])


def fail(application: Application, count: int, task_type: str = "user.registered", **options: Any) -> list[UUID]:
    """Write tasks that have failed, each at a time of its own."""
    ids = publish(application, count, task_type, **options)
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        for number, task_id in enumerate(ids):
            failed = {"status": int(Status.FAILED), "retry_count": 3, "schedule_log": "it broke\n"}
            failed["order_time"] = timedelta(seconds=number - 3600)
            connection.execute(update(tasks).where(tasks.c.id == task_id).values(**failed))
    return ids


def audited(application: Application) -> list[Any]:
    return application.rows(select(application.outbox.audit_entries))


# -- looking ---------------------------------------------------------------------------------------------


def test_pages_hold_every_dead_letter_once(application: Application) -> None:
    application.outbox.message("invoice.issued")
    ids = fail(application, 12) + fail(application, 3, "invoice.issued", key="A1") + fail(application, 2, key="A1")
    publish(application, 2)
    letters = letters_of(application)

    def walked(limit: int, **wanted: Any) -> list[UUID]:
        found, after = [], None
        while True:
            page = letters.list(limit=limit, after=after, **wanted)
            found += [letter.task_id for letter in page.letters]
            if page.next is None:
                return found
            assert len(page.letters) == limit
            after = page.next

    for limit in (1, 5, 100):
        assert Counter(walked(limit)) == Counter(ids)
    assert Counter(walked(2, task_type="user.registered")) == Counter(ids[:12] + ids[15:])
    assert walked(2, key="A1") == ids[12:]
    assert walked(2, key="A1", task_type="invoice.issued") == ids[12:15]
    assert walked(5, task_type="nobody") == []


def test_a_page_goes_on_where_it_ended_whatever_changes_meanwhile(application: Application) -> None:
    ids = fail(application, 6)
    letters = letters_of(application)
    page = letters.list(limit=3)
    first = [letter.task_id for letter in page.letters]
    letters.replay(Selection(ids=first), actor="ann")
    rest = letters.list(limit=10, after=page.next)
    assert Counter(first + [letter.task_id for letter in rest.letters]) == Counter(ids)


def test_a_task_is_shown_whole(application: Application) -> None:
    @application.outbox.task("render")
    def render(name: str, ctx: TaskContext) -> None:
        ctx.checkpoint(stage="ordered", context={"job": 7})
        raise RejectTask("no voice")

    with application.session() as session, session.begin():
        task_id = application.outbox.enqueue(session, "render", key="A1", headers={"x": "y"}, name="Ann")
    application.scheduler().drain()
    letters = letters_of(application)
    state = letters.inspect(str(task_id))
    assert (state.task_id, state.task_type, state.key, state.status) == (task_id, "render", "A1", Status.FAILED)
    assert (state.stage, state.context, state.headers) == ("ordered", {"job": 7}, {"x": "y"})
    assert state.payload == b'{"name":"Ann"}'
    assert "no voice" in state.log
    with pytest.raises(TaskNotFoundError, match="there is no task"):
        letters.inspect(uuid4())


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "none of them is given"),
        ({"everything": True, "task_type": "a"}, "more than one"),
        ({"ids": [uuid4()], "key": "a"}, "more than one"),
        ({"ids": "a"}, "^ids is 'a'; give a list"),
        ({"ids": ["a"]}, "^the task id is 'a'; give a UUID"),
        ({"everything": True, "limit": 0}, "^limit is 0"),
    ],
)
def test_a_selection_at_fault_is_refused(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Selection(**wanted)


def test_what_is_at_fault_is_refused_and_nothing_is_changed(sqlite_application: Application) -> None:
    fail(sqlite_application, 1)
    letters = letters_of(sqlite_application)
    for actor, reason, named in (("", None, "actor"), ("a" * 121, None, "actor"), ("ann", "r" * 501, "reason")):
        for action in (letters.replay, letters.cancel, letters.discard):
            with pytest.raises(OptionError, match=f"^{named} is"):
                action(ALL, actor=actor, reason=reason)
    with pytest.raises(OptionError, match=r"^per_second is 0"):
        letters.replay(ALL, actor="ann", per_second=0)
    for cursor in ("nonsense", "W10=", "WyIiLDAsIngiLCJ5Il0="):
        with pytest.raises(OptionError, match=r"^after is"):
            letters.list(after=cursor)
    with pytest.raises(InvalidTaskTypeError):
        letters.list(task_type="")
    assert sqlite_application.statuses() == [Status.FAILED]
    assert audited(sqlite_application) == []


# -- changing --------------------------------------------------------------------------------------------


def test_a_replayed_task_has_all_its_retries_and_leaves_a_trace(application: Application) -> None:
    told: list[Event] = []
    (one, two) = fail(application, 2, key="A1")
    letters = letters_of(application, told.append)

    assert letters.replay(Selection(ids=[one]), actor="ann", reason="mended").count == 1

    row, other = application.rows()
    assert (row.status, row.retry_count, other.status) == (Status.PENDING, 0, Status.FAILED)
    assert "replay by ann: mended" in row.schedule_log
    assert "it broke" in row.schedule_log
    (entry,) = Audit(application.engine, application.outbox).entries()
    assert (entry.actor, entry.action, entry.task_id, entry.reason) == ("ann", "replay", one, "mended")
    assert (entry.task_type, entry.task_key, entry.detail) == ("user.registered", "A1", "due at once")
    assert Audit(application.engine, application.outbox).entries(task_id=two) == []
    assert told == [TasksChanged("replay", "ann", 1)]
    application.scheduler().drain()
    assert application.statuses() == [Status.SUCCESS, Status.FAILED]


def test_a_replay_by_filter_takes_what_fits_and_no_more_than_its_limit(application: Application) -> None:
    application.outbox.message("invoice.issued")
    fail(application, 1200)
    fail(application, 2, "invoice.issued", key="A1")
    letters = letters_of(application)
    assert letters.replay(Selection(task_type="user.registered", limit=700), actor="ann").count == 700
    assert letters.replay(USERS, actor="ann").count == 500
    assert letters.replay(Selection(key="A1"), actor="ann").count == 2
    assert letters.replay(ALL, actor="ann").count == 0
    assert Counter(application.statuses()) == {Status.PENDING: 1202}
    assert Counter(row.action for row in audited(application)) == {"replay": 1202}


def test_a_replay_at_a_rate_spreads_when_tasks_come_due(application: Application) -> None:
    fail(application, 100)
    letters_of(application).replay(ALL, actor="ann", per_second=20)
    times = sorted(row.order_time for row in application.rows())
    assert [row.next_select_time == row.order_time for row in application.rows()] == [True] * 100
    assert 4 <= (times[-1] - times[0]).total_seconds() <= 60  # 5, and what a busy machine needs to write
    for start in times:
        assert len([time for time in times if start <= time < start + timedelta(seconds=1)]) <= 24


def test_waiting_and_failed_tasks_are_cancelled_but_none_at_work(application: Application) -> None:
    (failed,) = fail(application, 1)
    (waiting, at_work, done) = publish(application, 3)
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        for task_id, status in ((at_work, Status.PROCESSING), (done, Status.SUCCESS)):
            connection.execute(update(tasks).where(tasks.c.id == task_id).values(status=int(status)))
    nobody = uuid4()
    ids = [failed, waiting, at_work, done, nobody]

    changed = letters_of(application).cancel(Selection(ids=ids), actor="ann")

    assert changed.count == 2
    assert changed.left == {at_work: "PROCESSING", done: "SUCCESS", nobody: "missing"}
    assert application.statuses() == [Status.CANCELLED, Status.CANCELLED, Status.PROCESSING, Status.SUCCESS]
    assert {row.task_id: row.detail for row in audited(application)} == {failed: "was FAILED", waiting: "was PENDING"}
    assert letters_of(application).cancel(USERS, actor="ann").count == 0


def test_cancelling_a_type_takes_its_waiting_ones_whenever_they_are_due(application: Application) -> None:
    publish(application, 3, delay_seconds=3600)
    fail(application, 2)
    assert letters_of(application).cancel(USERS, actor="ann").count == 5
    assert set(application.statuses()) == {Status.CANCELLED}


def test_discarded_dead_letters_are_gone_and_the_audit_knows_them(application: Application) -> None:
    ids = fail(application, 3)
    (waiting,) = publish(application, 1)
    changed = letters_of(application).discard(Selection(ids=[*ids, waiting]), actor="ann", reason="test data")
    assert (changed.count, changed.left) == (3, {waiting: "PENDING"})
    assert [row.id for row in application.rows()] == [waiting]
    assert {(row.task_id, row.reason) for row in audited(application)} == {(one, "test data") for one in ids}


@pytest.mark.usefixtures("patient_with_locks")
def test_many_at_once_change_each_task_once(application: Application) -> None:
    fail(application, 300)
    counts: list[int] = []

    def work(name: str) -> None:
        letters = letters_of(application)
        action = letters.replay if name.startswith("r") else letters.discard
        counts.append(action(USERS, actor=name).count)

    threads = [threading.Thread(target=work, args=[name]) for name in ("r1", "r2", "d1", "d2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts) == 300
    assert len({row.task_id for row in audited(application)}) == len(audited(application)) == 300
    replayed = len([row for row in audited(application) if row.action == "replay"])
    assert application.statuses() == [Status.PENDING] * replayed


def test_what_cannot_be_entered_into_the_audit_is_not_changed(application: Application) -> None:
    fail(application, 2)
    with application.engine.begin() as connection:
        connection.execute(text("DROP TABLE asyncflow_audit"))
    with pytest.raises(Exception, match="asyncflow_audit"):
        letters_of(application).discard(ALL, actor="ann")
    assert application.statuses() == [Status.FAILED] * 2


def test_a_replay_ends_although_a_running_scheduler_fails_everything_again(application: Application) -> None:
    @application.outbox.task(max_retries=0)
    def failing() -> None:
        raise RejectTask("never")

    with application.session() as session, session.begin():
        for _ in range(30):
            application.outbox.enqueue(session, failing)
    with application.scheduler():
        eventually(lambda: application.statuses() == [Status.FAILED] * 30)
        assert letters_of(application).replay(ALL, actor="ann").count == 30
        eventually(lambda: application.statuses() == [Status.FAILED] * 30)


# -- ordered types ---------------------------------------------------------------------------------------


class Ledger(MemoryPublisher):
    """Reject what is marked, and keep what arrived in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.rejected: set[bytes] = set()
        self.arrived: list[bytes] = []

    def publish(self, batch: Sequence[Record]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for record in batch:
            is_bad = record.value in self.rejected
            outcomes.append(Rejected("too large") if is_bad else SENT)
            if not is_bad:
                self.arrived.append(record.value)
        return outcomes


@pytest.fixture
def blocked(application: Application) -> tuple[Ledger, list[UUID]]:
    """Have four messages of a key, of which the first is a dead letter that holds up the others."""
    application.outbox.message("moved", ordered=True)
    ledger = Ledger()
    ledger.rejected.add(b"1")
    with application.session() as session, session.begin():
        messages = [Message(b"%d" % number, key="A1") for number in (1, 2, 3, 4)]
        ids = application.outbox.publish_many(session, "moved", messages)
    scheduler = application.scheduler(ledger)
    scheduler.drain()
    assert application.statuses() == [Status.FAILED] + [Status.PENDING] * 3
    return ledger, ids


def parked(application: Application) -> list[Any]:
    return application.rows(select(application.outbox.parked_keys))


def drained(application: Application, ledger: Ledger, statuses: Sequence[int]) -> bool:
    application.scheduler(ledger).drain()
    return application.statuses() == statuses


def has_no_parked_key(application: Application, ledger: Ledger) -> bool:
    application.scheduler(ledger).drain()
    return parked(application) == []


def test_a_replayed_dead_letter_goes_before_those_it_held_up(
    application: Application, blocked: tuple[Ledger, list[UUID]]
) -> None:
    ledger, ids = blocked
    ledger.rejected.clear()
    letters_of(application).replay(Selection(ids=ids[:1]), actor="ann")
    eventually(lambda: drained(application, ledger, [Status.SUCCESS] * 4))
    assert ledger.arrived == [b"1", b"2", b"3", b"4"]
    assert parked(application) == []


def test_a_replayed_dead_letter_that_fails_again_holds_up_its_key_again(
    application: Application, blocked: tuple[Ledger, list[UUID]]
) -> None:
    ledger, ids = blocked
    letters_of(application).replay(Selection(ids=ids[:1]), actor="ann")
    eventually(lambda: drained(application, ledger, [Status.FAILED] + [Status.PENDING] * 3))
    assert ledger.arrived == []
    assert [row.blocked_by for row in parked(application)] == [ids[0]]


@pytest.mark.parametrize("action", ["discard", "cancel"])
def test_a_key_goes_on_behind_a_dead_letter_that_is_taken_away(
    application: Application, blocked: tuple[Ledger, list[UUID]], action: str
) -> None:
    ledger, ids = blocked
    getattr(letters_of(application), action)(Selection(ids=ids[:1]), actor="ann")
    expected = [Status.SUCCESS] * 3 if action == "discard" else [Status.CANCELLED] + [Status.SUCCESS] * 3
    eventually(lambda: drained(application, ledger, expected))
    assert ledger.arrived == [b"2", b"3", b"4"]
    assert parked(application) == []


def test_a_key_whose_waiting_ones_are_cancelled_is_released(
    application: Application, blocked: tuple[Ledger, list[UUID]]
) -> None:
    ledger, _ = blocked
    assert letters_of(application).cancel(Selection(key="A1", task_type="moved"), actor="ann").count == 4
    eventually(lambda: has_no_parked_key(application, ledger))
    assert ledger.arrived == []


def test_a_running_scheduler_notices_a_replay(application: Application, blocked: tuple[Ledger, list[UUID]]) -> None:
    ledger, ids = blocked
    ledger.rejected.clear()
    with application.scheduler(ledger):
        letters_of(application).replay(Selection(ids=ids[:1]), actor="ann")
        eventually(lambda: ledger.arrived == [b"1", b"2", b"3", b"4"])


def test_a_blocked_key_waits_until_its_replayed_dead_letter_is_due(
    application: Application, blocked: tuple[Ledger, list[UUID]]
) -> None:
    ledger, ids = blocked
    ledger.rejected.clear()
    letters_of(application).replay(Selection(ids=ids[:1]), actor="ann")
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        later = timedelta(hours=2)
        connection.execute(update(tasks).where(tasks.c.id == ids[0]).values(order_time=later, next_select_time=later))
    application.scheduler(ledger).drain()
    assert ledger.arrived == []
    with application.engine.begin() as connection:
        now = timedelta(0)
        connection.execute(update(tasks).where(tasks.c.id == ids[0]).values(next_select_time=now))
    eventually(lambda: drained(application, ledger, [Status.SUCCESS] * 4))
    assert ledger.arrived == [b"1", b"2", b"3", b"4"]
