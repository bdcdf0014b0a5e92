"""A commit whose answer comes late: its task is settled by others meanwhile, and its success is told of once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from asyncflow import Scheduler, Status
from asyncflow.events import SettleFenced, TasksSettled
from asyncflow.scheduler.worker.claiming.claim_source import DESTINATION
from asyncflow.scheduler.worker.worker import Worker
from tests.integration.scheduler.publishers import LONG
from tests.integration.scheduler.settled import wait_for_settled
from tests.support.application import Application


class LateAnswers:
    """Keep the answers to COMMITs of the threads that are named until they are let through."""

    def __init__(self, application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: set[int] = set()
        self.is_late = threading.Event()
        self.let_through = threading.Event()
        dialect: Any = application.engine.dialect
        self._commit: Callable[[Any], None] = dialect.do_commit
        monkeypatch.setattr(dialect, "do_commit", self._late)

    def _late(self, connection: Any) -> None:
        self._commit(connection)
        if threading.get_ident() in self.threads:
            self.threads.clear()
            self.is_late.set()
            assert self.let_through.wait(LONG)


def enqueue(application: Application, name: str) -> None:
    with application.session() as session, session.begin():
        application.outbox.enqueue(session, "grant", name=name)


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_commit_that_is_answered_when_its_task_was_settled_is_told_of_once(
    application: Application, made: list[Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, ended = LateAnswers(application, monkeypatch), threading.Event()

    @application.outbox.task(transactional=True, max_retries=0)
    def grant(name: str, session: Session) -> None:
        session.add(application.User(account_no=name))
        if name == "late":
            answers.threads.add(threading.get_ident())

    finish = Worker._finish

    def note(worker: Worker, *finished: Any) -> None:
        finish(worker, *finished)
        ended.set()

    monkeypatch.setattr(Worker, "_finish", note)
    made.append(scheduler := application.scheduler())
    enqueue(application, "late")
    scheduler.start()
    assert answers.is_late.wait(LONG)
    (attempt,) = scheduler.worker.crews.at_work()
    attempt.overdue_at = 0.0  # as after max_processing_time_seconds
    scheduler.machinery.standing.alarms.handlers.wake()
    wait_for_settled(application.signals, DESTINATION, 1)
    answers.let_through.set()
    assert ended.wait(LONG)
    enqueue(application, "next")
    wait_for_settled(application.signals, DESTINATION, 2)
    assert scheduler.stop()
    assert sum(event.succeeded for event in application.signals.of(TasksSettled)) == 2
    assert application.signals.of(SettleFenced) == []
    assert application.statuses() == [Status.SUCCESS] * 2
