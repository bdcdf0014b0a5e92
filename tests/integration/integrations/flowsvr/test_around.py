"""What stands around a handler stands around it in a worker over HTTP as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asyncflow import Status, TaskContext
from tests.integration.integrations.flowsvr.test_workers import serving, worker
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually


def test_a_worker_over_http_calls_its_handlers_within_them(sqlite_application: Application) -> None:
    seen: list[Any] = []

    @contextmanager
    def tracing(ctx: TaskContext) -> Iterator[None]:
        seen.append((ctx.task_type, ctx.key))
        yield
        seen.append("end")

    sqlite_application.outbox.around.add(tracing)

    @sqlite_application.outbox.task()
    def mail() -> None:
        seen.append("mail")

    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.enqueue(session, mail, key="A1")
    with serving(sqlite_application) as url:
        works = worker(sqlite_application, url)
        works.start()
        eventually(lambda: sqlite_application.statuses() == [Status.SUCCESS])
        works.stop()
    assert seen == [("mail", "A1"), "mail", "end"]
