"""Tasks and their handlers: from the commit to the outcome, on each database."""

from __future__ import annotations

import functools
import sys
import threading
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, func, insert, select, update
from sqlalchemy.orm import Session

from asyncflow import Call, CancelTask, NotDone, RejectTask, RetryTask, Status, TaskContext
from asyncflow.errors import ClaimLostError, InvalidArgumentsError, InvalidStageError, OptionError
from asyncflow.events import ClaimsRanOut, SettleFenced, TaskFailed, TaskRetried, TasksSettled
from asyncflow.scheduler.heads import lookout
from tests.integration.scheduler.writing import statements
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

_LONG = timedelta(seconds=600)


def enqueue(application: Application, task: Any, **arguments: Any) -> UUID:
    with application.session() as session, session.begin():
        return application.outbox.enqueue(session, task, **arguments)


def take_away(application: Application) -> None:
    """Let another worker have every claim."""
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).values(claim_token=UUID(int=1), order_time=_LONG))


def users(application: Application) -> int:
    return int(application.rows(select(func.count()).select_from(application.User))[0][0])


def test_functions_and_coroutines_get_what_was_given_at_the_enqueue(application: Application) -> None:
    got: list[Any] = []

    @application.outbox.task()
    def issue_coupon(account_no: str, expires: date, ctx: TaskContext, amount: int = 5) -> object:
        got.append((account_no, expires, amount, ctx.attempt, ctx.key))
        return object()  # what it returns is of no interest, and need not be JSON

    @application.outbox.task("points.grant")
    async def grant_points(account_no: str) -> None:
        got.append(account_no)

    with application.session() as session, session.begin():
        application.outbox.enqueue(session, issue_coupon, key="A1", account_no="A1", expires=date(2030, 1, 2))
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, "points.grant", [Call({"account_no": "A2"})] * 2)
        application.outbox.enqueue(
            connection, grant_points, run_at=datetime.now(timezone.utc) + timedelta(hours=1), account_no="later"
        )
    with application.session() as session:
        application.outbox.enqueue(session, issue_coupon, account_no="never", expires=date(2030, 1, 2))
        session.rollback()

    application.scheduler().drain()

    assert sorted(got, key=str) == [("A1", date(2030, 1, 2), 5, 1, "A1"), "A2", "A2"]
    assert application.statuses() == [Status.SUCCESS] * 3 + [Status.PENDING]


def test_wrong_arguments_are_refused_in_the_caller_and_nothing_is_written(application: Application) -> None:
    @application.outbox.task()
    def issue_coupon(account_no: str, amount: int) -> None: ...

    with application.session() as session, session.begin():
        for arguments, named in (
            ({"account_no": "A1"}, "amount"),
            ({"account_no": "A1", "amount": "many"}, "amount"),
            ({"account_no": "A1", "amount": 1, "acount": 2}, "acount"),
        ):
            with pytest.raises(InvalidArgumentsError, match=named):
                application.outbox.enqueue(session, issue_coupon, **arguments)
        with pytest.raises(InvalidArgumentsError, match="amount"):
            application.outbox.enqueue_many(
                session, issue_coupon, [Call({"account_no": "A1", "amount": 1}), Call({"account_no": "A1"})]
            )
    assert application.rows() == []


def test_an_argument_called_like_an_option_is_refused_at_the_declaration(sqlite_application: Application) -> None:
    def handler(key: str) -> None: ...

    with pytest.raises(OptionError, match="'key'"):
        sqlite_application.outbox.task()(handler)


def test_a_publish_writes_none_of_the_workers_columns(application: Application) -> None:
    statements: list[str] = []
    event.listen(application.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    with application.session() as session, session.begin():
        application.outbox.publish(session, "user.registered", {})

    (written,) = [text for text in statements if text.startswith("INSERT")]
    assert not any(name in written for name in ("claim_token", "owner", "stage", "context"))


def test_a_failing_task_is_retried_and_then_a_dead_letter(application: Application) -> None:
    attempts: list[int] = []

    @application.outbox.task(max_retries=2, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def failing(ctx: TaskContext) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 2:
            sys.exit("even so")
        raise ValueError("not today")

    @application.outbox.task()
    def other() -> None: ...

    task_id = enqueue(application, failing)
    enqueue(application, other)
    application.scheduler().drain()

    assert attempts == [1, 2, 3]
    assert application.statuses() == [Status.FAILED, Status.SUCCESS]
    assert "ValueError: not today" in application.rows()[0].schedule_log
    assert "SystemExit: even so" in application.rows()[0].schedule_log
    assert [failed.task_id for failed in application.signals.of(TaskFailed)] == [task_id]


def test_what_a_handler_raises_on_purpose_is_obeyed(application: Application) -> None:
    looks: list[int] = []

    @application.outbox.task(max_retries=0)
    def polling(ctx: TaskContext) -> None:
        looks.append(ctx.attempt)
        if len(looks) < 4:
            raise NotDone(0)

    @application.outbox.task()
    def rejecting() -> None:
        raise RejectTask("no such account")

    @application.outbox.task()
    def cancelling() -> None:
        raise CancelTask("changed my mind")

    @application.outbox.task()
    def patient() -> None:
        raise RetryTask("busy", delay_seconds=3600)

    for task in (polling, rejecting, cancelling, patient):
        enqueue(application, task)
    application.scheduler().drain()

    assert looks == [1, 1, 1, 1]
    assert application.statuses() == [Status.SUCCESS, Status.FAILED, Status.CANCELLED, Status.PENDING]
    assert [row.retry_count for row in application.rows()] == [1, 1, 1, 1]
    assert [retried.delay_seconds for retried in application.signals.of(TaskRetried)] == [3600]


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_a_hanging_handler_is_given_up_and_its_place_is_free_again(
    sqlite_application: Application, is_coroutine: bool
) -> None:
    application, released, seen = sqlite_application, threading.Event(), []
    # Enough for the one that does not hang, which is given no more.
    options: dict[str, Any] = {"max_processing_time_seconds": 1.5, "max_retries": 0, "concurrency": 1}

    def hanging(ctx: TaskContext, hangs: bool) -> None:
        if hangs:
            released.wait(60)
            seen.append(ctx.cancelled)

    async def hanging_coroutine(hangs: bool) -> None:
        if hangs:
            import asyncio

            await asyncio.sleep(60)

    handler: Any = application.outbox.task("hanging", **options)(hanging_coroutine if is_coroutine else hanging)
    enqueue(application, handler, hangs=True)
    enqueue(application, handler, hangs=False)
    application.scheduler().drain()
    released.set()

    assert application.statuses() == [Status.FAILED, Status.SUCCESS]
    assert "max_processing_time_seconds" in application.rows()[0].schedule_log


def test_no_more_of_a_type_are_at_work_than_its_concurrency_allows(application: Application) -> None:
    together, lock, at_work, most = threading.Barrier(2), threading.Lock(), 0, 0

    @application.outbox.task(concurrency=2)
    def working() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        together.wait(60)
        with lock:
            at_work -= 1

    for _ in range(6):
        enqueue(application, working)
    application.scheduler().drain()

    assert application.statuses() == [Status.SUCCESS] * 6
    assert most == 2


def test_the_higher_priority_goes_first(application: Application) -> None:
    order: list[str] = []

    @application.outbox.task(concurrency=1)
    def working(name: str) -> None:
        order.append(name)

    for name, priority in (("low", 0), ("high", 600), ("middle", 60)):
        enqueue(application, working, name=name, priority=priority)
    application.scheduler().drain()

    assert order == ["high", "middle", "low"]


# -- effect and outcome in one transaction ---------------------------------------------------------------


def test_a_transactional_handlers_commit_settles_its_task(application: Application) -> None:
    @application.outbox.task(transactional=True, max_retries=1, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def adding(session: Session, account_no: str, ctx: TaskContext) -> None:
        session.execute(insert(application.User).values(account_no=account_no))
        with session.begin_nested():  # whose commit is not the handler's
            own = application.User.account_no == account_no  # all rows would be a deadlock of two handlers
            session.execute(update(application.User).where(own).values(name="nested"))
        if ctx.attempt == 1:
            raise ValueError("after the effect, before the commit")
        if account_no == "own":
            session.commit()
            raise ValueError("too late to fail")

    for name in ("ours", "own"):
        enqueue(application, adding, account_no=name)
    application.scheduler().drain()

    assert application.statuses() == [Status.SUCCESS] * 2, application.rows()
    assert users(application) == 2
    assert sum(settled.succeeded for settled in application.signals.of(TasksSettled)) == 2


def test_a_transactional_handler_that_lost_its_claim_has_no_effect(application: Application) -> None:
    @application.outbox.task(transactional=True)
    def adding(session: Session) -> None:
        take_away(application)
        session.execute(insert(application.User).values(account_no="A1"))

    enqueue(application, adding)
    application.scheduler().drain()

    assert users(application) == 0
    assert application.statuses() == [Status.PROCESSING]


# -- claims ----------------------------------------------------------------------------------------------


def test_a_late_settle_changes_nothing_and_is_counted(application: Application) -> None:
    @application.outbox.task()
    def slow() -> None:
        take_away(application)

    enqueue(application, slow)
    scheduler = application.scheduler()
    scheduler.drain()

    assert application.statuses() == [Status.PROCESSING]
    assert [fenced.tasks for fenced in application.signals.of(SettleFenced)] == [1]
    assert scheduler.counters().fenced == 1


def test_a_claim_is_renewed_while_its_handler_works(application: Application) -> None:
    ends: list[Any] = []

    @application.outbox.task()
    def long() -> None:
        ends.append(application.rows()[0].order_time)

        def is_renewed() -> bool:
            worker._renewal.due_at = 0.0  # as after a third of the lease
            ends.append(application.rows()[0].order_time)
            return bool(ends[-1] != ends[0])

        eventually(is_renewed, 60)

    enqueue(application, long)
    scheduler = application.scheduler()
    worker = scheduler.machinery.staff.worker
    scheduler.drain()

    assert ends[-1] > ends[0]
    assert application.statuses() == [Status.SUCCESS]


def test_the_monitor_gives_back_what_ran_out_and_fails_what_spent_its_retries(application: Application) -> None:
    done: list[int] = []

    @application.outbox.task(max_retries=3, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def working(ctx: TaskContext) -> None:
        done.append(ctx.attempt)

    spent, rescued, alive = (enqueue(application, working) for _ in range(3))
    tasks, past = application.outbox.tasks, timedelta(seconds=-1)
    with application.engine.begin() as connection:
        for task_id, count, end in ((spent, 4, past), (rescued, 3, past), (alive, 1, _LONG)):
            values = {"status": 1, "retry_count": count, "order_time": end, "claim_token": UUID(int=7)}
            connection.execute(update(tasks).where(tasks.c.id == task_id).values(**values))
    application.scheduler().drain()

    assert application.statuses() == [Status.FAILED, Status.SUCCESS, Status.PROCESSING]
    assert done == [4]
    told = application.signals.of(ClaimsRanOut)
    assert sum(each.given_back for each in told) == sum(each.failed for each in told) == 1


def test_a_type_without_a_handler_here_is_left_alone(application: Application) -> None:
    application.outbox.task("worked.elsewhere")
    enqueue(application, "worked.elsewhere", anything=[1, 2])

    application.scheduler().drain()

    assert application.statuses() == [Status.PENDING]


def test_a_drain_does_what_became_due_while_a_handler_worked_for_long(
    sqlite_application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the loop that looks on meanwhile may rest for, would it not be a drain's."""
    monkeypatch.setattr(lookout, "_IDLE_SECONDS", 0.0)
    application, done = sqlite_application, list[str]()

    @application.outbox.task(max_retries=1, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def working(name: str, ctx: TaskContext) -> None:
        if not done:
            with statements(application.engine) as sent:
                eventually(lambda: worker._source.rest.is_on or len(sent) > 20)  # it looks, in vain
        done.append(name)
        if name == "first":
            enqueue(application, working, name="next")
        if ctx.attempt == 1:
            raise ValueError("not yet")

    enqueue(application, working, name="first")
    scheduler = application.scheduler()
    worker: Any = scheduler.machinery.staff.worker
    scheduler.drain()
    scheduler.stop()

    assert sorted(done) == ["first", "first", "next", "next", "next", "next"]
    assert set(application.statuses()) == {Status.SUCCESS}


# -- stages ----------------------------------------------------------------------------------------------


def test_a_task_resumes_at_its_last_stage(application: Application) -> None:
    seen: list[Any] = []
    large = {"text": "ä\0" * 50_000}

    @application.outbox.task(retry_interval_seconds=0, max_retry_interval_seconds=0)
    def rendering(ctx: TaskContext) -> None:
        seen.append((ctx.stage, ctx.context))
        if ctx.stage is None:
            ctx.checkpoint(stage="synthesized", context=large)
            raise ConnectionError("on the way to the next stage")
        ctx.checkpoint(stage="uploaded")

    enqueue(application, rendering)
    application.scheduler().drain()

    assert seen == [(None, None), ("synthesized", large)]
    assert [(row.stage, row.context) for row in application.rows()] == [("uploaded", None)]


def test_a_checkpoint_without_the_claim_is_refused(sqlite_application: Application) -> None:
    application, raised = sqlite_application, []

    @application.outbox.task()
    def rendering(ctx: TaskContext) -> None:
        for stage, context in (("", None), ("a" * 101, None), ("a", b"bytes"), ("a", object()), ("a", "x" * 2**21)):
            with pytest.raises(InvalidStageError):
                ctx.checkpoint(stage=stage, context=context)
        take_away(application)
        with pytest.raises(ClaimLostError) as caught:
            ctx.checkpoint(stage="late")
        raised.append(caught.value)

    enqueue(application, rendering)
    application.scheduler().drain()

    assert len(raised) == 1
    assert application.rows()[0].stage is None


# -- the running scheduler -------------------------------------------------------------------------------


def test_a_commit_starts_the_handler_at_once(sqlite_application: Application) -> None:
    application, done = sqlite_application, threading.Event()

    @application.outbox.task()
    def working() -> None:
        done.set()

    with application.scheduler(tick=60.0, min_pause_seconds=60.0, max_pause_seconds=60.0):
        enqueue(application, working)
        assert done.wait(60)
        application.signals.wait_for(TasksSettled, lambda settled: settled.succeeded == 1)


def test_a_stop_gives_back_what_does_not_end_and_spends_no_attempt(sqlite_application: Application) -> None:
    application, begun, released = sqlite_application, threading.Event(), threading.Event()
    contexts: list[TaskContext] = []

    @application.outbox.task()
    def endless(ctx: TaskContext) -> None:
        contexts.append(ctx)
        begun.set()
        released.wait(240)

    def is_given_back() -> bool:
        return [(row.status, row.retry_count) for row in application.rows()] == [(Status.PENDING, 0)]

    enqueue(application, endless)
    scheduler = application.scheduler(stop_timeout_seconds=1.0)
    scheduler.start()
    assert begun.wait(60)
    scheduler.stop()
    try:
        eventually(is_given_back)  # on a busy machine, by the loop that ends a little later
        assert contexts[0].cancelled
    finally:
        released.set()


def test_a_handler_that_returns_its_work_undone_has_failed_and_its_transaction_with_it(
    sqlite_application: Application,
) -> None:
    application = sqlite_application
    done: list[str] = []

    async def work(account_no: str) -> None:
        done.append(account_no)

    class Awaited:
        async def __call__(self, account_no: str) -> None:
            done.append(account_no)

    @functools.wraps(work)
    def only_called(account_no: str) -> Any:
        return work(account_no)

    def beside(session: Session, account_no: str) -> Any:
        session.add(application.User(account_no=account_no))
        return work(account_no)

    application.outbox.task("awaited")(Awaited())
    application.outbox.task("only_called", max_retries=0)(only_called)
    application.outbox.task("beside", max_retries=0, transactional=True)(beside)
    for name in ("awaited", "only_called", "beside"):
        enqueue(application, name, account_no=name)

    application.scheduler().drain()

    tasks = application.outbox.tasks.c
    found = application.rows(select(tasks.task_type, tasks.status, tasks.schedule_log))
    assert {name: status for name, status, _ in found} == {
        "awaited": Status.SUCCESS,
        "only_called": Status.FAILED,
        "beside": Status.FAILED,
    }
    assert all("returned a coroutine" in str(log) for name, _, log in found if name != "awaited")
    assert done == ["awaited"]
    assert users(application) == 0
