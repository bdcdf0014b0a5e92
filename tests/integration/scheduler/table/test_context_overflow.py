"""Contexts too large for a task's row have a table of their own, and nobody notices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select, text, update

from asyncflow import NotDone, RejectTask, Status, TaskContext
from asyncflow.errors import ClaimLostError
from asyncflow.outbox.tables import OVERFLOWN
from asyncflow.scheduler import DeadLetters, Selection
from asyncflow.scheduler.operator.task_view import TaskView
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims
from tests.support.application import Application

SMALL = {"job": "ö"}
LARGE = {"job": "ö" * 20_000}
HUGE = {"job": "x" * 300_000}


def enqueue(application: Application, task: Any) -> UUID:
    with application.session() as session, session.begin():
        return application.outbox.enqueue(session, task)


def overflown(application: Application) -> list[Any]:
    return application.rows(select(application.outbox.contexts))


def staging(application: Application, *contexts: Any, end: Callable[[], None] = lambda: None) -> list[Any]:
    """Declare ``staged``, which sees its context, keeps the next one, and comes back; return what it sees."""
    seen: list[Any] = []

    @application.outbox.task(max_retries=0)
    def staged(ctx: TaskContext) -> None:
        seen.append(ctx.context)
        if len(seen) > len(contexts):
            return end()
        ctx.checkpoint(stage=f"stage {len(seen)}", context=contexts[len(seen) - 1])
        raise NotDone(0)

    return seen


def drain(application: Application, **options: Any) -> None:
    application.scheduler(**options).drain()


@pytest.mark.parametrize("contexts", [(SMALL,), (LARGE,), (HUGE,), (LARGE, SMALL), (SMALL, LARGE), (LARGE, HUGE, None)])
def test_the_next_attempt_has_the_context_wherever_it_was_kept(
    application: Application, contexts: tuple[Any, ...]
) -> None:
    seen = staging(application, *contexts)
    enqueue(application, "staged")
    drain(application)
    assert seen == [None, *contexts]
    assert application.statuses() == [Status.SUCCESS]


def test_only_what_is_too_large_for_the_row_leaves_it(application: Application) -> None:
    staging(application, LARGE)
    enqueue(application, "staged")
    drain(application)
    assert [row.context for row in application.rows()] == [OVERFLOWN]
    assert [len(row.context) for row in overflown(application)] == [len('{"job":""}') + 20_000]


def test_context_row_bytes_is_how_large_a_context_in_the_row_may_be(application: Application) -> None:
    context = {"n": "x" * 10}
    size = len('{"n":""}') + 10
    for number, (most, is_in_row) in enumerate([(size, True), (size - 1, False), (0, False), (65_000, True)]):
        one = Application(application.engine, prefix=f"a{number}_", context_row_bytes=most)
        staging(one, context)
        enqueue(one, "staged")
        drain(one)
        assert [row.context == OVERFLOWN for row in one.rows()] == [not is_in_row]


def test_a_lost_claim_writes_no_context_anywhere(application: Application) -> None:
    lost: list[bool] = []

    @application.outbox.task()
    def late(ctx: TaskContext) -> None:
        tasks = application.outbox.tasks
        with application.engine.begin() as connection:
            later = timedelta(hours=1)
            connection.execute(update(tasks).values(claim_token=UUID(int=1), order_time=later))
        with pytest.raises(ClaimLostError):
            ctx.checkpoint(stage="too late", context=LARGE)
        lost.append(True)

    enqueue(application, late)
    drain(application)
    assert lost == [True]
    assert overflown(application) == []
    assert application.rows()[0].context is None


def test_a_claim_reads_contexts_in_no_statement_of_their_own(application: Application) -> None:
    staging(application, LARGE)
    enqueue(application, "staged")
    statements: list[str] = []
    event.listen(application.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    drain(application)
    touching = [statement for statement in statements if "asyncflow_context" in statement and "PRAGMA" not in statement]
    written = [statement for statement in touching if statement.startswith(("INSERT", "UPDATE", "DELETE"))]
    assert len(written) == 2  # of the one checkpoint: there was none to replace
    assert all("CASE WHEN" in statement for statement in touching if statement.startswith("SELECT"))


# -- where tasks are deleted -----------------------------------------------------------------------------


def test_a_task_deleted_as_it_succeeds_leaves_no_context(application: Application) -> None:
    staging(application, LARGE)
    enqueue(application, "staged")
    drain(application, on_success="delete")
    assert application.rows() == []
    assert overflown(application) == []


def test_the_cleaner_deletes_the_context_with_its_task(application: Application) -> None:
    staging(application, LARGE, LARGE)
    enqueue(application, "staged")
    drain(application)
    assert len(overflown(application)) == 1
    with application.engine.begin() as connection:
        connection.execute(text("UPDATE asyncflow_task SET order_time = '2020-01-01 00:00:00.000000'"))
    scheduler = application.scheduler()
    scheduler.ownership.acquire()
    scheduler.machinery.staff.cleaner.step()
    scheduler.stop()
    assert application.rows() == []
    assert overflown(application) == []


def reject() -> None:
    raise RejectTask("never")


def test_a_dead_letter_shows_its_context_and_is_discarded_with_it(application: Application) -> None:
    seen = staging(application, LARGE, end=reject)
    task_id = enqueue(application, "staged")
    drain(application)
    assert application.statuses() == [Status.FAILED]
    letters = DeadLetters(application.engine, application.outbox)
    assert letters.inspect(task_id).context == LARGE
    letters.replay(Selection(ids=[task_id]), actor="ann")
    drain(application)
    assert seen[-1] == LARGE  # a replay goes on from the stage that was reached
    letters.discard(Selection(ids=[task_id]), actor="ann")
    assert application.rows() == overflown(application) == []


def test_the_monitor_leaves_the_context_of_what_it_gives_back(application: Application) -> None:
    seen = staging(application, LARGE, SMALL)
    enqueue(application, "staged")
    tasks = application.outbox.tasks
    drain(application)
    seen.clear()
    with application.engine.begin() as connection:
        ran_out = {"status": int(Status.PROCESSING), "order_time": timedelta(seconds=-1), "retry_count": 0}
        connection.execute(update(tasks).values(context=OVERFLOWN, **ran_out))
    scheduler = application.scheduler()
    scheduler.drain()
    application.make_due()
    scheduler.drain()
    assert seen[0] == LARGE


# -- claims for workers elsewhere ------------------------------------------------------------------------


@pytest.mark.parametrize("deletes", [False, True])
def test_shared_claims_keep_read_and_forget_large_contexts(application: Application, deletes: bool) -> None:
    application.outbox.task("staged")
    task_id = enqueue(application, "staged")
    claims = ServiceClaims(application.outbox, application.engine, deletes=deletes)
    types = application.outbox.handler_types
    large = '{"job":"' + "x" * 100_000 + '"}'
    with application.engine.begin() as connection:
        (claim,) = claims.hold(connection, "ann", {"staged": 1}, 60)
        held = HeldClaim(task_id, claim.token)
        claims.checkpoint(connection, held, "one", large, None)
        claims.settle(connection, [ClaimOutcome(held, "not_done", 0.0)], types.require)
    with application.engine.begin() as connection:
        row = TaskView(application.outbox).one(connection, task_id)
        assert row is not None
        assert (row.stage, row.context) == ("one", large)
        (claim,) = claims.hold(connection, "ann", {"staged": 1}, 60)
        assert claim.context == large
        claims.settle(connection, [ClaimOutcome(HeldClaim(task_id, claim.token), "success")], types.require)
    assert len(overflown(application)) == (0 if deletes else 1)
