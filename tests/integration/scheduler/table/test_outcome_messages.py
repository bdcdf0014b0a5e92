"""Messages about outcomes: one for each, with the settle or not at all, whoever settles, on each database."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import Engine, MetaData, select, update
from sqlalchemy.orm import Session

from asyncflow import RESULT, CancelTask, NotDone, Outbox, RejectTask, Status, TaskContext
from asyncflow.errors import OptionError, UnknownTaskTypeError
from asyncflow.integrations.encryption import AesGcm, make_key
from asyncflow.outbox.ids import shard_of_key
from asyncflow.scheduler import DeadLetters, Record, Selection, Unavailable
from asyncflow.scheduler.table.fingerprints import fingerprint_of
from asyncflow.testing import MemoryPublisher, drain
from tests.integration.conftest import Schedule
from tests.integration.scheduler.upkeep.test_cleaner import clean, cleaner
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

QUICK: dict[str, Any] = {"retry_interval_seconds": 0.01, "max_retry_interval_seconds": 0.01}


class Shop:
    """Have an application that tells of outcomes, and what came of it at the broker."""

    def __init__(self, engine: Engine, **options: Any) -> None:
        self.application = Application(engine, outcomes_to="task.settled", **options)
        self.outbox = self.application.outbox
        self.outbox.message("task.settled", topic="outcomes", ordered=True)
        self.publisher = MemoryPublisher()

    def run(self) -> None:
        """Do all that is due, and send what is told of it."""
        for _ in range(2):
            scheduler = self.application.scheduler(self.publisher)
            scheduler.drain()
            scheduler.stop(timeout_seconds=10)

    def run_until(self, count: int) -> None:
        """Do so until so many messages were sent, and no more come."""

        def has_all() -> bool:
            self.run()
            return len(self.told()) >= count

        eventually(has_all)
        self.run()

    def told(self) -> list[dict[str, Any]]:
        """Return the bodies of the messages that were sent."""
        return [orjson.loads(record.value) for record in self.records()]

    def records(self) -> list[Record]:
        return [record for record in self.publisher.records if record.topic == "outcomes"]

    def messages(self) -> list[Any]:
        """Return the rows of messages about outcomes."""
        return [row for row in self.application.rows() if row.task_type == "task.settled"]


@pytest.fixture
def shop(engine: Engine) -> Shop:
    return Shop(engine)


def test_each_outcome_of_a_handler_is_told_once_with_its_facts(shop: Shop) -> None:
    waited: list[int] = []

    @shop.outbox.task(keep_result=True)
    def price(order: int) -> dict[str, int]:
        return {"amount": order}

    @shop.outbox.task("book", max_retries=1, **QUICK)
    def book(order: int) -> None:
        raise LookupError(f"no order {order} of 'ann'")

    @shop.outbox.task("mail", max_retries=3, **QUICK)
    async def mail(how: str, ctx: TaskContext) -> None:
        if how == "cancelled":
            raise CancelTask("nobody wants it")
        if how == "rejected":
            raise RejectTask("never")
        if not waited:
            waited.append(ctx.attempt)
            raise NotDone(0)

    with shop.application.session() as session, session.begin():
        ids = [
            price.options(key="A1").enqueue(session, 7),
            book.enqueue(session, 1),
            *(mail.enqueue(session, how) for how in ("cancelled", "rejected", "patient")),
        ]
        shop.outbox.publish(session, "user.registered", {})
    shop.run_until(5)
    told = {one["task_id"]: one for one in shop.told()}
    assert len(shop.told()) == 5
    assert [told[str(one)]["outcome"] for one in ids] == ["success", "failed", "cancelled", "failed", "success"]
    assert [told[str(one)]["attempts"] for one in ids] == [1, 2, 1, 1, 1]
    first, second = told[str(ids[0])], told[str(ids[1])]
    assert (first["task_type"], first["key"], first["result"]) == ("price", "A1", {"amount": 7})
    assert datetime.fromisoformat(first["enqueued_at"].replace("Z", "+00:00")) <= datetime.fromisoformat(
        first["settled_at"].replace("Z", "+00:00")
    )
    assert second["error"] == "LookupError: no order … of '…'"
    assert second["error_group"] == fingerprint_of("book", second["error"])
    for record in shop.records():
        assert record.key == orjson.loads(record.value)["task_id"].encode()
        assert dict(record.headers)["message-type"] == b"task.settled"
    assert len(shop.messages()) == 5  # none tells of them in turn


def test_a_transactional_handler_is_told_of_with_its_own_commit_or_not_at_all(shop: Shop) -> None:
    fails = [True]

    @shop.outbox.task("register", transactional=True, max_retries=5, **QUICK)
    def register(session: Session, account_no: str) -> None:
        session.add(shop.application.User(account_no=account_no))
        session.flush()
        if fails:
            fails.clear()
            raise LookupError("not yet")
        session.commit()

    with shop.application.session() as session, session.begin():
        register.enqueue(session, "A1")
    shop.run_until(1)
    assert [(one["outcome"], one["attempts"]) for one in shop.told()] == [("success", 2)]


def test_what_follows_is_told_of_as_well_and_so_is_what_cannot_follow(shop: Shop) -> None:
    @shop.outbox.task()
    def price(order: int) -> int:
        return order

    @shop.outbox.task()
    def book(amount: int) -> None: ...

    with shop.application.session() as session, session.begin():
        price.options(then=book.later(amount=RESULT)).enqueue(session, 7)
    shop.run()
    assert {one["task_type"]: one["outcome"] for one in shop.told()} == {"price": "success", "book": "success"}
    assert len(shop.told()) == 2


def test_an_operators_cancel_and_discard_are_told_also_by_who_knows_no_declaration(shop: Shop) -> None:
    @shop.outbox.task(max_retries=0)
    def book(order: int) -> None:
        raise LookupError("no order")

    with shop.application.session() as session, session.begin():
        failed = book.enqueue(session, 1)
        waiting = book.options(delay_seconds=3600).enqueue(session, 2)
        shop.outbox.publish(session, "user.registered", {}, delay_seconds=3600)
    shop.run()
    stranger = Application(shop.application.engine, has_tables=True)
    letters = DeadLetters(stranger.engine, stranger.outbox)
    letters.cancel(Selection(ids=[waiting]), actor="ann", reason="unwanted")
    letters.discard(Selection(ids=[failed]), actor="ann")
    letters.cancel(Selection(task_type="user.registered"), actor="ann")
    shop.run()
    first, *others = shop.told()
    assert (first["task_id"], first["outcome"], first["attempts"]) == (str(failed), "failed", 1)
    others.sort(key=lambda one: str(one["outcome"]))
    assert [(one["task_id"], one["outcome"], one["attempts"]) for one in others] == [
        (str(waiting), "cancelled", 0),
        (str(failed), "discarded", 1),
    ]
    assert others[1]["error_group"] == first["error_group"]


@pytest.mark.parametrize("shard_count", [4, 128])
def test_an_operator_who_does_not_know_the_shard_count_writes_into_the_applications_shards(
    engine: Engine, shard_count: int
) -> None:
    shop = Shop(engine, shard_count=shard_count)

    @shop.outbox.task(max_retries=0)
    def book(order: int) -> None:
        raise LookupError("no order")

    with shop.application.session() as session, session.begin():
        failed = [book.enqueue(session, number) for number in range(8)]
        waiting = [book.options(delay_seconds=3600).enqueue(session, number) for number in range(8)]
    shop.run_until(8)
    letters = DeadLetters(engine, Outbox(MetaData()))
    assert letters.cancel(Selection(ids=waiting), actor="ann").count == 8
    assert letters.discard(Selection(ids=failed), actor="ann").count == 8
    assert {row.shard == shard_of_key(row.task_key, shard_count) for row in shop.messages()} == {True}
    shop.run_until(24)
    told = {(one["task_id"], one["outcome"]) for one in shop.told()}
    assert told >= {(str(one), "cancelled") for one in waiting} | {(str(one), "discarded") for one in failed}


def test_turns_of_messages_that_are_not_ordered_are_deleted_too_also_by_who_tells_of_nothing(
    engine: Engine, schedule: Schedule
) -> None:
    application = Application(engine, outcomes_to="task.settled")
    application.outbox.message("task.settled")
    application.outbox.task("book")(lambda: None)
    for _ in range(3):
        with application.session() as session, session.begin():
            application.outbox.enqueue(session, "book")
        scheduler = application.scheduler()
        scheduler.drain()
        scheduler.stop(timeout_seconds=10)
    turns = application.outbox.turns
    drawn = application.rows(select(turns).order_by(turns.c.number))
    assert engine.dialect.name == "postgresql" or len(drawn) > 1
    clean(cleaner(schedule))
    assert application.rows(select(turns)) == drawn[-1:]


def test_the_failure_of_a_task_whose_context_cannot_be_read_is_told(shop: Shop) -> None:
    @shop.outbox.task(max_retries=0)
    def book(ctx: TaskContext) -> None: ...

    with shop.application.session() as session, session.begin():
        task_id = book.enqueue(session)
    tasks = shop.outbox.tasks
    with shop.application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id == task_id).values(stage="half", context="{"))
    shop.run_until(1)
    (one,) = shop.told()
    assert (one["task_id"], one["outcome"], one["attempts"]) == (str(task_id), "failed", 1)


def test_outcomes_of_a_task_go_in_order_though_it_is_replayed(shop: Shop) -> None:
    fails = [True]

    @shop.outbox.task(max_retries=0)
    def book(order: int) -> None:
        if fails:
            raise LookupError("no order")

    with shop.application.session() as session, session.begin():
        ids = [book.enqueue(session, number) for number in range(5)]
    scheduler = shop.application.scheduler({"kafka": MemoryPublisher(lambda _: Unavailable("away"))})
    scheduler.drain()
    scheduler.stop(timeout_seconds=10)
    assert shop.application.statuses().count(Status.FAILED) == 5
    fails.clear()
    DeadLetters(shop.application.engine, shop.outbox).replay(Selection(ids=ids), actor="ann")
    shop.run_until(10)
    order = [(one["task_id"], one["outcome"]) for one in shop.told()]
    assert Counter(outcome for _, outcome in order) == {"failed": 5, "success": 5}
    for task_id in map(str, ids):
        assert [outcome for one, outcome in order if one == task_id] == ["failed", "success"]


def test_a_claim_that_ran_out_for_the_last_time_is_told_of(shop: Shop) -> None:
    @shop.outbox.task(max_retries=0)
    def book(order: int) -> None: ...

    with shop.application.session() as session, session.begin():
        task_id = book.enqueue(session, 1)
    tasks = shop.outbox.tasks
    dead = {"status": int(Status.PROCESSING), "retry_count": 1, "owner": "gone", "claim_token": UUID(int=1)}
    with shop.application.engine.begin() as connection:
        past = timedelta(seconds=-60)
        connection.execute(update(tasks).where(tasks.c.id == task_id).values(**dead, order_time=past))
    scheduler = shop.application.scheduler(shop.publisher)
    scheduler.drain()
    scheduler.machinery.staff.monitor.step()
    scheduler.stop(timeout_seconds=10)
    shop.run()
    (one,) = shop.told()
    assert (one["task_id"], one["outcome"], one["attempts"]) == (str(task_id), "failed", 1)
    assert one["error"].startswith("the claim ran out")


def test_types_choose_for_themselves(engine: Engine) -> None:
    application = Application(engine)
    outbox = application.outbox
    outbox.message("task.settled")
    outbox.task("told", outcomes_to="task.settled")(lambda: None)
    outbox.task("untold")(lambda: None)
    with application.session() as session, session.begin():
        outbox.enqueue(session, "told")
        outbox.enqueue(session, "untold")
    assert {row.task_type: row.headers is None for row in application.rows()} == {"told": False, "untold": True}
    scheduler = application.scheduler()
    scheduler.drain()
    scheduler.stop(timeout_seconds=10)
    told = [row for row in application.rows() if row.task_type == "task.settled"]
    assert [orjson.loads(row.payload)["task_type"] for row in told] == ["told"]


def test_a_type_that_is_not_declared_or_has_a_builder_is_refused_at_the_enqueue_and_the_start(engine: Engine) -> None:
    application = Application(engine, outcomes_to="task.setled")
    outbox = application.outbox
    outbox.message("task.settled")
    outbox.task("mail")(lambda: None)
    with application.session() as session, pytest.raises(UnknownTaskTypeError, match=r"'task\.settled'"):
        outbox.enqueue(session, "mail")
    scheduler = application.scheduler()
    with pytest.raises(UnknownTaskTypeError):
        scheduler.start()
    scheduler.stop(timeout_seconds=10)
    outbox.message("task.built")(lambda session, tasks: [{} for _ in tasks])
    outbox.task("call", outcomes_to="task.built")(lambda: None)
    with application.session() as session, pytest.raises(OptionError, match="has a builder"):
        outbox.enqueue(session, "call")
    outbox.task("quiet", outcomes_to="")(lambda: None)
    with application.session() as session, session.begin():
        outbox.enqueue(session, "quiet")
    assert application.rows()[0].headers is None
    with pytest.raises(OptionError, match="outcomes_to is 7"):
        outbox.task("wrong", outcomes_to=7)  # type: ignore[call-overload]


def test_a_result_that_is_too_large_for_a_message_is_left_out(engine: Engine) -> None:
    shop = Shop(engine, max_message_bytes=4000)

    @shop.outbox.task(keep_result=True)
    def report() -> str:
        return "x" * 3000

    with shop.application.session() as session, session.begin():
        report.enqueue(session)
    shop.run()
    (one,) = shop.told()
    assert (one["outcome"], one["result"], one["result_is_left_out"]) == ("success", None, True)


def test_of_an_encrypted_task_the_error_is_told_by_its_group_alone_and_the_message_is_encrypted(engine: Engine) -> None:
    keys: dict[str, bytes | str] = {"k1": make_key()}
    shop = Shop(engine, encryption=AesGcm(keys, "k1"))

    @shop.outbox.task(max_retries=0)
    def book(order: str) -> None:
        raise LookupError(f"no order {order}")

    with shop.application.session() as session, session.begin():
        book.enqueue(session, "secret")
    scheduler = shop.application.scheduler({"kafka": MemoryPublisher(lambda _: Unavailable("away"))})
    scheduler.drain()
    scheduler.stop(timeout_seconds=10)
    (message,) = shop.messages()
    assert b"task_id" not in message.payload
    shop.run_until(1)
    (one,) = shop.told()
    assert "error" not in one
    assert len(one["error_group"]) == 12


def test_a_drain_in_a_users_test_tells_of_outcomes(shop: Shop) -> None:
    @shop.outbox.task(max_retries=0)
    def book(order: int) -> None:
        if order == 2:
            raise LookupError("no order")

    with shop.application.session() as session:
        for number in (1, 2):
            book.enqueue(session, number)
        drain(session, outbox=shop.outbox, publishers=shop.publisher, raise_errors=False)
        session.rollback()
    assert sorted(one["outcome"] for one in shop.told()) == ["failed", "success"]
    assert shop.application.rows(select(shop.outbox.tasks)) == []
