"""Results and follow-ups over HTTP: the worker elsewhere leaves what one beside the database leaves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.orm import Session

from asyncflow import RESULT, CancelTask, Done, Status
from asyncflow.integrations.flowsvr.client import Outcome
from tests.integration.integrations.flowsvr.test_workers import client, serving, worker
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually


def test_a_worker_over_http_leaves_results_and_the_tasks_that_follow(application: Application) -> None:
    seen: list[Any] = []
    user, outbox = application.User, application.outbox

    @outbox.task(keep_result=True)
    def price(order: int) -> Decimal:
        return Decimal("1.50")

    @outbox.task(transactional=True)
    def book(session: Session, order: int, amount: Decimal) -> int:
        session.add(user(account_no=f"A{order}"))
        seen.append((order, amount))
        return 7

    @outbox.task
    def mail(number: int) -> None:
        seen.append(number)

    with application.session() as session, session.begin():
        then = book.options(then=mail.later(RESULT)).later(1, amount=RESULT)
        first = price.options(then=then).enqueue(session, 1)
    with serving(application) as url:
        works = worker(application, url, application.scheduler())
        works.start()
        eventually(lambda: application.statuses() == [Status.SUCCESS] * 3)
        works.stop()
        shown = client(url, "admin").get(first)
        assert shown is not None
        assert (shown["result"], shown["follow_up"]["task_type"], shown["headers"]) == ("1.50", "book", {})
    assert seen == [(1, Decimal("1.50")), 7]
    with application.session() as session:
        assert outbox.result(session, first) == Done(Decimal("1.50"))


def test_a_program_in_another_language_leaves_a_result(sqlite_application: Application) -> None:
    outbox = sqlite_application.outbox
    outbox.task("speech.render")

    @outbox.task
    def mail(what: Any) -> None: ...

    with sqlite_application.session() as session, session.begin():
        outbox.enqueue(session, "speech.render")
    with serving(sqlite_application) as url:
        its = client(url, "worker")
        (held,) = its.hold("w1", {"speech.render": 1}).tasks
        assert (held.is_followed, held.wants_result) == (False, False)
        its.set([Outcome(held.id, held.token, "success", result={"file": "a.ogg"})])
        assert _result(client(url, "producer"), held.id) == {"file": "a.ogg"}
    with sqlite_application.session() as session:
        assert outbox.result(session, held.id) == Done({"file": "a.ogg"})


def _result(its: Any, task_id: UUID) -> Any:
    return its.get(task_id)["result"]


def test_what_a_worker_over_http_makes_of_tasks_is_told_by_messages(application: Application) -> None:
    outbox = application.outbox
    outbox.message("task.settled")

    @outbox.task(keep_result=True, outcomes_to="task.settled", max_retries=0)
    def price(order: int) -> int:
        if order == 2:
            raise LookupError("no order 2")
        if order == 3:
            raise CancelTask("unwanted")
        return 7 * order

    with application.session() as session, session.begin():
        ids = [str(price.enqueue(session, number)) for number in (1, 2, 3)]
    with serving(application) as url:
        works = worker(application, url)
        works.start()
        eventually(lambda: len(application.rows()) == 6)
        works.stop()
        shown = client(url, "admin").get(UUID(ids[0]))
        assert shown is not None
        assert shown["headers"] == {}
    bodies = [orjson.loads(row.payload) for row in application.rows() if row.task_type == "task.settled"]
    told = {one["task_id"]: (one["outcome"], one["attempts"], one.get("result"), one.get("error")) for one in bodies}
    assert [told[one] for one in ids] == [
        ("success", 1, 7, None),
        ("failed", 1, None, "LookupError: no order …"),
        ("cancelled", 1, None, "CancelTask: unwanted"),
    ]
