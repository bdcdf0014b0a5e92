"""The helpers for users' tests, on each database and in memory: in a transaction of which nothing stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, StaticPool, create_engine, func, select
from sqlalchemy.orm import Session

from asyncflow import CancelTask, NotDone, RejectTask, RetryTask, TaskContext
from asyncflow.errors import OptionError, UndeliveredError, UnknownTaskTypeError
from asyncflow.scheduler import SENT, Outcome, Record, Rejected, Retry, Unavailable
from asyncflow.testing import MemoryPublisher, advance, assert_enqueued, drain, enqueued, perform, rolled_back
from tests.support.application import Application


@pytest.fixture(params=["memory", "file or server"])
def home(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Application]:
    if request.param == "file or server":
        yield Application(engine)
    elif engine.dialect.name != "sqlite":
        pytest.skip("once is enough")
    else:
        in_memory = create_engine("sqlite://", poolclass=StaticPool)
        yield Application(in_memory)
        in_memory.dispose()


@pytest.fixture
def session(home: Application) -> Iterator[Session]:
    with rolled_back(home.engine) as session:
        yield session
    with home.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(home.outbox.tasks)) == 0
        assert connection.scalar(select(func.count()).select_from(home.User)) == 0


def test_what_waits_is_found_by_handler_name_and_arguments(home: Application, session: Session) -> None:
    @home.outbox.task()
    def pay(account_no: str, amount: Decimal) -> None: ...

    home.outbox.enqueue(session, pay, account_no="A1", amount=Decimal("1.50"))
    home.outbox.publish(session, "user.registered", {"account_no": "A2"}, key="A2", priority=5)
    assert assert_enqueued(session, pay, amount=Decimal("1.50")).arguments["account_no"] == "A1"
    assert assert_enqueued(session, "pay", outbox=home.outbox, account_no="A1").delay_seconds == 0
    assert assert_enqueued(session, "user.registered", outbox=home.outbox, account_no="A2", key="A2", priority=5)
    assert [one.task_type for one in enqueued(session, outbox=home.outbox)] == ["user.registered", "pay"]
    assert [one.key for one in enqueued(session, "user.registered", outbox=home.outbox)] == ["A2"]


def test_what_does_not_wait_is_told_with_what_does(home: Application, session: Session) -> None:
    @home.outbox.task()
    def pay(account_no: str) -> None: ...

    home.outbox.enqueue(session, pay, account_no="A1", delay_seconds=90)
    with pytest.raises(AssertionError, match=r"no task pay\(account_no='A2'\) is enqueued[^(]*pay\(account_no='A1'\)"):
        assert_enqueued(session, pay, account_no="A2")
    with pytest.raises(UnknownTaskTypeError, match="did you mean 'pay'"):
        assert_enqueued(session, "pey", outbox=home.outbox)
    session.rollback()
    with pytest.raises(AssertionError, match=r"these are:\n  \(none\)"):
        assert_enqueued(session, pay, account_no="A1")


def test_perform_sends_arguments_the_way_of_a_task_and_raises_what_the_handler_raises(home: Application) -> None:
    @home.outbox.task()
    def pay(ctx: TaskContext, amounts: set[Decimal], note: str = "") -> tuple[set[Decimal], int]:
        ctx.checkpoint(stage="paid", context={"note": note})
        if note:
            raise LookupError(f"{ctx.stage}: {note}")
        return amounts, ctx.attempt

    assert perform(pay, amounts={Decimal("1.5"), Decimal(2)}) == ({Decimal("1.5"), Decimal(2)}, 1)
    with pytest.raises(LookupError, match="paid: no such account"):
        perform(pay, amounts=set(), note="no such account")
    with pytest.raises(ValueError, match="amounts is 'all'"):
        perform(pay, amounts="all")


def test_a_drain_does_what_is_due_and_what_that_enqueues(home: Application, session: Session) -> None:
    outbox, user, publisher = home.outbox, home.User, MemoryPublisher()

    @outbox.task(transactional=True)
    def greet(session: Session, account_no: str) -> None:
        session.get_one(user, account_no).name = "greeted"
        outbox.publish(session, "user.registered", {"account_no": account_no}, key=account_no)

    session.add(user(account_no="A1", name="new"))
    outbox.enqueue(session, greet, account_no="A1")
    outbox.enqueue(session, greet, account_no="A2", delay_seconds=3600)
    session.commit()
    drained = drain(session, publisher, outbox=outbox)
    assert (drained.done, drained.sent, drained.left) == (1, 1, {"greet": 1})
    assert session.get_one(user, "A1").name == "greeted"
    assert [(record.topic, record.key) for record in publisher.records] == [("user.registered", b"A1")]


def test_a_failed_task_leaves_no_trace_but_its_retry_and_the_first_error_is_raised_at_the_end(
    home: Application, session: Session
) -> None:
    outbox, user = home.outbox, home.User
    attempts: list[int] = []

    @outbox.task(transactional=True, max_retries=1)
    def greet(session: Session, ctx: TaskContext, account_no: str) -> None:
        attempts.append(ctx.attempt)
        session.add(user(account_no=account_no))
        session.flush()
        if account_no == "A1":
            raise LookupError(account_no)

    for account_no in ("A1", "A2"):
        outbox.enqueue(session, greet, account_no=account_no)
    with pytest.raises(LookupError, match="A1"):
        drain(session, outbox=outbox)
    assert session.scalars(select(user.account_no)).all() == ["A2"]
    advance(session, 60, outbox=outbox)
    drained = drain(session, raise_errors=False, outbox=outbox)
    assert (drained.failed, drained.left, attempts) == (1, {}, [1, 1, 2])
    assert [str(error) for error in drained.errors] == ["A1"]


def test_a_pause_ends_when_the_test_lets_time_pass_however_long_the_drain_takes(
    home: Application, session: Session
) -> None:
    attempts: list[int] = []

    @home.outbox.task(retry_interval_seconds=0.01, max_retry_interval_seconds=0.01)
    def busy(ctx: TaskContext) -> None:
        attempts.append(ctx.attempt)
        raise RetryTask if ctx.attempt == 1 else NotDone(0.01)

    @home.outbox.task()
    def slow() -> None:
        time.sleep(0.1)  # in which the pause of the other would have been over

    home.outbox.message("sent", retry_interval_seconds=0.01, max_retry_interval_seconds=0.01)
    publisher = MemoryPublisher(lambda _: Retry("busy"))
    home.outbox.publish(session, "sent", {})
    home.outbox.enqueue(session, busy)
    for time_of_each in (1, 2, 3):
        home.outbox.enqueue(session, slow)
        drained = drain(session, publisher, raise_errors=False, outbox=home.outbox)
        assert (drained.left, drained.done) == ({"busy": 1, "sent": 1}, 1)
        assert len(attempts) == time_of_each
        advance(session, 1, outbox=home.outbox)
    assert attempts == [1, 2, 2]  # what is not done spends none


def test_what_a_handler_says_on_purpose_is_no_error_unless_it_ends_the_task(
    home: Application, session: Session
) -> None:
    signals = {"later": NotDone(5), "again": RetryTask("busy"), "off": CancelTask(), "never": RejectTask("no")}

    @home.outbox.task()
    def work(say: str) -> None:
        raise signals[say]

    for say in signals:
        home.outbox.enqueue(session, work, say=say)
    drained = drain(session, raise_errors=False, outbox=home.outbox)
    assert (drained.done, drained.retried, drained.cancelled, drained.failed) == (0, 1, 1, 1)
    assert drained.left == {"work": 2}
    assert [type(error) for error in drained.errors] == [RejectTask]


def test_a_transactional_handler_that_raises_after_its_commit_has_done_its_task(
    home: Application, session: Session
) -> None:
    user = home.User

    @home.outbox.task(transactional=True)
    def greet(session: Session) -> None:
        session.add(user(account_no="A1"))
        session.commit()
        raise LookupError("too late")

    home.outbox.enqueue(session, greet)
    drained = drain(session, raise_errors=False, outbox=home.outbox)
    assert (drained.done, drained.left, len(drained.errors)) == (1, {}, 1)
    assert session.scalars(select(user.account_no)).all() == ["A1"]


def test_a_stage_is_there_again_in_the_next_attempt(home: Application, session: Session) -> None:
    seen: list[Any] = []

    @home.outbox.task()
    def work(ctx: TaskContext) -> None:
        seen.append((ctx.stage, ctx.context))
        if ctx.stage is None:
            ctx.checkpoint(stage="half", context={"page": 7})
            raise LookupError

    home.outbox.enqueue(session, work)
    drain(session, raise_errors=False, outbox=home.outbox)
    advance(session, 1, outbox=home.outbox)
    assert drain(session, outbox=home.outbox).done == 1
    assert seen == [(None, None), ("half", {"page": 7})]


@pytest.mark.parametrize(
    ("outcome", "counted", "left"),
    [
        (Retry("busy"), "retried", {"user.registered": 1}),
        (Rejected("too large"), "failed", {}),
        (Unavailable("down"), "unreachable", {"user.registered": 1}),
    ],
)
def test_a_message_that_is_not_sent_is_told(
    home: Application, session: Session, outcome: Retry | Rejected | Unavailable, counted: str, left: dict[str, int]
) -> None:
    home.outbox.publish(session, "user.registered", {})
    with pytest.raises(UndeliveredError, match=rf"user\.registered: {outcome.error}"):
        drain(session, MemoryPublisher(lambda _: outcome), outbox=home.outbox)
    home.outbox.publish(session, "user.registered", {})
    drained = drain(session, MemoryPublisher(lambda _: outcome), raise_errors=False, outbox=home.outbox)
    assert getattr(drained, counted) in (1, ("kafka",))
    assert sum(drained.left.values()) == 2 * sum(left.values()) or counted == "failed"


def test_one_key_keeps_its_order_in_a_drain(home: Application, session: Session) -> None:
    home.outbox.message("moved", ordered=True)
    refused = [b'{"n":0}']

    def answer(record: Record) -> Outcome:
        return Retry("busy") if record.value in refused else SENT

    for key, n in (("a", 0), ("a", 1), ("b", 2), ("a", 3)):
        home.outbox.publish(session, "moved", {"n": n}, key=key)
        session.flush()
    publisher = MemoryPublisher(answer)
    drain(session, publisher, raise_errors=False, outbox=home.outbox)
    refused.clear()
    advance(session, 2, outbox=home.outbox)
    drain(session, publisher, outbox=home.outbox)
    assert [record.value for record in publisher.records] == [
        b'{"n":0}',
        b'{"n":2}',
        *(b'{"n":%d}' % n for n in (0, 1, 3)),
    ]


def test_a_builder_reads_what_the_test_has_not_committed(home: Application, session: Session) -> None:
    user, publisher = home.User, MemoryPublisher()

    @home.outbox.message("built")
    def build(session: Session, tasks: Any) -> Any:
        return [{"name": session.get_one(user, task.key).name} for task in tasks]

    session.add(user(account_no="A1", name="new"))
    home.outbox.publish(session, "built", key="A1")
    assert drain(session, publisher, outbox=home.outbox).sent == 1
    assert publisher.records[0].value == b'{"name":"new"}'


def test_a_coroutine_is_run_to_its_end(home: Application, session: Session) -> None:
    done: list[str] = []

    @home.outbox.task()
    async def greet(account_no: str) -> None:
        done.append(account_no)

    home.outbox.enqueue(session, greet, account_no="A1")
    assert (drain(session, outbox=home.outbox).done, done) == (1, ["A1"])


def test_which_outbox_is_meant_is_asked_where_it_is_not_clear(home: Application, session: Session) -> None:
    other = Application(home.engine)
    assert other.outbox is not home.outbox
    with pytest.raises(OptionError, match="outboxes; tell which is meant: outbox="):
        enqueued(session)
    with pytest.raises(OptionError, match=r"'user\.registered' is declared by"):
        assert_enqueued(session, "user.registered")
    with pytest.raises(OptionError, match="outbox is 'mine'"):
        enqueued(session, outbox="mine")  # type: ignore[call-overload]
    with pytest.raises(UnknownTaskTypeError, match=r"no outbox of this process \(did you mean 'user\.registered'\?\)"):
        assert_enqueued(session, "user.registred")


@pytest.mark.parametrize("seconds", [-1, "60", True, 1e12])
def test_time_passes_by_seconds_that_can_be(home: Application, session: Session, seconds: Any) -> None:
    with pytest.raises(OptionError, match="seconds is"):
        advance(session, seconds, outbox=home.outbox)


def test_work_that_is_only_returned_fails_in_a_test_as_it_does_in_a_worker(
    sqlite_application: Application,
) -> None:
    async def work() -> None: ...

    @sqlite_application.outbox.task("grant", transactional=True, max_retries=0)
    def grant(session: Session) -> Any:
        session.add(sqlite_application.User(account_no="A1"))
        return work()

    with rolled_back(sqlite_application.engine) as session:
        with pytest.raises(OptionError, match="nothing was done"):
            perform(grant, session=session)
        session.expunge_all()
        sqlite_application.outbox.enqueue(session, "grant")
        with pytest.raises(OptionError, match="nothing was done"):
            drain(session, outbox=sqlite_application.outbox)
        assert session.scalar(select(func.count()).select_from(sqlite_application.User)) == 0
