"""Encrypted payloads from the enqueue to the outcome, on each database: what rows hold, and who can read it."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from asyncflow import RESULT, Call, Message, Scheduler, Status, TaskContext
from asyncflow.errors import OptionError
from asyncflow.integrations.encryption import AesGcm, decrypt_message, make_key
from asyncflow.scheduler import Audit, DeadLetters, Selection
from asyncflow.testing import MemoryPublisher, drain, enqueued
from tests.support.application import Application

SECRET = "no-row-may-hold-this"


class Shop:
    """Have an application whose payloads are encrypted with keys that can be taken away."""

    def __init__(self, engine: Engine, **options: Any) -> None:
        self.keys: dict[str, bytes | str] = {"k1": make_key(), "t1": make_key(), "t2": make_key()}
        cipher = AesGcm(self.keys, lambda facts: facts.headers.get("tenant", "k1"), **options)
        self.application = Application(engine, encryption=cipher)
        self.outbox = self.application.outbox

    def enqueue(self, task: Any, **arguments: Any) -> Any:
        with self.application.session() as session, session.begin():
            return self.outbox.enqueue(session, task, **arguments)

    def publish(self, *messages: Message, name: str = "user.registered") -> None:
        with self.application.session() as session, session.begin():
            self.outbox.publish_many(session, name, messages)

    def everything(self) -> str:
        """Return all that stands in any table, with what is base64 in it."""
        found: list[Any] = []
        for table in self.application.Base.metadata.tables.values():
            for row in self.application.rows(select(table)):
                found += [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in row]
        return "\n".join(found)


@pytest.fixture
def shop(engine: Engine) -> Shop:
    return Shop(engine)


@pytest.fixture
def run(shop: Shop) -> Callable[..., MemoryPublisher]:
    """Let a scheduler do all that is due."""

    def run(application: Application | None = None) -> MemoryPublisher:
        publisher = MemoryPublisher()
        scheduler: Scheduler = (application or shop.application).scheduler(publisher)
        scheduler.drain()
        scheduler.stop(timeout_seconds=10)
        return publisher

    return run


def test_handlers_get_what_no_row_holds(shop: Shop, run: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    got: list[Any] = []

    @shop.outbox.task()
    def mail(text: str, amount: Decimal, ctx: TaskContext) -> None:
        got.append((text, amount, dict(ctx.headers)))

    @shop.outbox.task(transactional=True)
    def book(session: Session, text: str) -> None:
        session.add(shop.application.User(account_no="A1"))
        got.append(text)

    @shop.outbox.task()
    async def call(text: str) -> None:
        got.append(text)

    shop.enqueue(mail, key="A1", headers={"own": "x"}, text=SECRET, amount=Decimal("1.50"))
    with shop.application.engine.begin() as connection:
        shop.outbox.enqueue_many(connection, book, [Call({"text": SECRET})])
        shop.outbox.enqueue(connection, call, text=SECRET)
    assert SECRET not in shop.everything()
    run()
    assert sorted(got, key=str) == [(SECRET, Decimal("1.50"), {"own": "x"}), SECRET, SECRET]
    assert shop.application.statuses() == [Status.SUCCESS] * 3
    assert SECRET not in shop.everything() + caplog.text


def test_messages_at_rest_are_sent_as_they_were_given(shop: Shop, run: Any) -> None:
    shop.publish(
        Message({"text": SECRET}, key="A1", headers={"own": "x"}), Message(SECRET.encode(), content_type="text/plain")
    )
    assert SECRET not in shop.everything()
    first, second = sorted(run().records, key=lambda record: record.key is None)
    assert (first.key, orjson.loads(first.value), second.value) == (b"A1", {"text": SECRET}, SECRET.encode())
    names = {name for name, _ in first.headers}
    assert names == {"message-id", "message-type", "content-type", "own"}
    assert dict(second.headers)["content-type"] == b"text/plain"


def test_messages_travel_encrypted_where_their_type_says_so_and_consumers_decrypt_them(shop: Shop, run: Any) -> None:
    shop.outbox.message("order.paid", encryption="end_to_end", ordered=True)
    built = shop.outbox.message("order.built", encryption="end_to_end")
    built(lambda session, tasks: [{"text": SECRET} for _ in tasks])
    shop.publish(*(Message({"text": SECRET, "n": n}, key="A1") for n in range(3)), name="order.paid")
    shop.publish(Message(key="B1"), name="order.built")
    records = run().records
    assert len(records) == 4
    cipher = AesGcm(shop.keys, "k1")
    for record in records:
        assert SECRET.encode() not in record.value
        headers = dict(record.headers)
        assert (headers["payload-encryption"], headers["payload-key-id"]) == (b"A256GCM", b"k1")
        assert headers["content-type"] == b"application/json"
        opened = decrypt_message(cipher, record.value, headers, key=record.key)
        assert orjson.loads(opened.payload)["text"] == SECRET


def test_what_was_written_in_the_clear_is_encrypted_when_its_type_travels_so(engine: Engine) -> None:
    plain = Application(engine)
    with plain.session() as session, session.begin():
        plain.outbox.publish(session, "user.registered", {"text": SECRET})
    cipher = AesGcm({"k1": make_key()}, "k1", messages="end_to_end")
    later, publisher = Application(engine, has_tables=True, encryption=cipher), MemoryPublisher()
    scheduler = later.scheduler(publisher)
    scheduler.drain()
    scheduler.stop(timeout_seconds=10)
    (record,) = publisher.records
    assert SECRET.encode() not in record.value
    assert SECRET.encode() in decrypt_message(cipher, record.value, dict(record.headers), key=record.key).payload


def test_a_key_that_is_gone_fails_its_tasks_at_once_and_nobody_elses(shop: Shop, run: Any) -> None:
    got: list[str] = []

    @shop.outbox.task(max_retries=5)
    def mail(text: str) -> None:
        got.append(text)

    for tenant in ("t1", "t2"):
        shop.enqueue(mail, headers={"tenant": tenant}, text=tenant)
        shop.publish(Message({"text": tenant}, headers={"tenant": tenant}))
    del shop.keys["t1"]
    publisher = run()
    rows = sorted(shop.application.rows(), key=lambda row: str(orjson.loads(row.headers)["tenant"]))
    assert [row.status for row in rows] == [Status.FAILED] * 2 + [Status.SUCCESS] * 2
    assert got == ["t2"]
    assert [orjson.loads(record.value) for record in publisher.records] == [{"text": "t2"}]
    for row in rows[:2]:
        assert "the key 't1' is gone" in row.schedule_log
    letters = DeadLetters(shop.application.engine, shop.outbox)
    state = letters.inspect(rows[0].id)
    assert (state.payload, state.hidden) == (None, "its key is gone: nobody can read it any more")
    assert state.encrypted is not None
    assert "'t1'" in state.encrypted


def test_payloads_that_were_swapped_between_rows_are_found_out(shop: Shop, run: Any) -> None:
    @shop.outbox.task(max_retries=5)
    def pay(account: str) -> None: ...

    ids = [shop.enqueue(pay, account=name) for name in ("mine", "yours")]
    tasks = shop.outbox.tasks

    def pair() -> list[Any]:
        return sorted(shop.application.rows(), key=lambda row: ids.index(row.id))

    mine, yours = pair()
    with shop.application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id == yours.id).values(payload=mine.payload))
    run()
    mine, yours = pair()
    assert (mine.status, yours.status) == (Status.SUCCESS, Status.FAILED)
    assert "PayloadAlteredError" in yours.schedule_log


def test_a_process_without_keys_leaves_attempts_for_one_that_has_them(shop: Shop, run: Any) -> None:
    got: list[str] = []
    keyless = Application(shop.application.engine, has_tables=True)
    for outbox in (shop.outbox, keyless.outbox):
        outbox.task("mail", max_retries=3)(lambda text: got.append(text))
    shop.enqueue("mail", text=SECRET)
    shop.publish(Message({"text": SECRET}))
    assert run(keyless).records == []
    rows = keyless.rows()
    assert [(row.status, row.retry_count) for row in rows] == [(Status.PENDING, 1)] * 2
    assert all("this process has no encryption" in row.schedule_log for row in rows)
    assert got == []
    keyless.make_due()
    assert len(run().records) == 1
    assert got == [SECRET]


def test_a_rotated_key_decrypts_what_waits_and_encrypts_nothing_new(engine: Engine, run: Any) -> None:
    keys: dict[str, bytes | str] = {"k1": make_key()}
    before = Application(engine, has_tables=False, encryption=AesGcm(keys, "k1"))
    with before.session() as session, session.begin():
        before.outbox.publish(session, "user.registered", {"n": 1})
    keys["k2"] = make_key()
    after = Application(engine, has_tables=True, encryption=AesGcm(keys, "k2"))
    with after.session() as session, session.begin():
        after.outbox.publish(session, "user.registered", {"n": 2})
    assert {orjson.loads(row.headers)["payload-key-id"] for row in after.rows()} == {"k1", "k2"}
    assert sorted(orjson.loads(record.value)["n"] for record in run(after).records) == [1, 2]


def test_what_follows_is_encrypted_while_it_waits_and_so_is_the_result_in_it(shop: Shop, run: Any) -> None:
    got: list[Any] = []

    @shop.outbox.task()
    def price(order: str) -> str:
        return f"{SECRET}-result"

    @shop.outbox.task()
    def book(order: str, amount: str) -> None:
        got.append((order, amount))

    @shop.outbox.task()
    def mail(order: str) -> None:
        got.append(order)

    with shop.application.session() as session, session.begin():
        then = book.options(then=mail.later(SECRET)).later(SECRET, amount=RESULT)
        price.options(then=then).enqueue(session, SECRET)
    (row,) = shop.application.rows()
    texts = [row.headers, *_base64_in(orjson.loads(row.headers))]
    assert not any(SECRET in text for text in texts)
    run()
    assert got == [(SECRET, f"{SECRET}-result"), SECRET]
    assert SECRET not in shop.everything()


def _base64_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "encrypted":
                yield base64.b64decode(inner).decode(errors="replace")
            yield from _base64_in(inner)


def test_a_follow_up_whose_key_is_gone_is_a_dead_letter_and_its_task_is_done(shop: Shop, run: Any) -> None:
    @shop.outbox.task(encryption="off")
    def price(order: int) -> int:
        return 7

    @shop.outbox.task()
    def book(amount: int) -> None: ...

    with shop.application.session() as session, session.begin():
        then = book.options(headers={"tenant": "t1"}).later(amount=RESULT)
        price.options(then=then).enqueue(session, 1)
    del shop.keys["t1"]
    run()
    first, second = sorted(shop.application.rows(), key=lambda row: str(row.task_type), reverse=True)
    assert (first.task_type, first.status) == ("price", Status.SUCCESS)
    assert (second.task_type, second.status) == ("book", Status.FAILED)
    assert "the key 't1' is gone" in second.schedule_log


def test_arguments_that_do_not_fit_are_named_and_not_shown(shop: Shop, run: Any) -> None:
    shop.outbox.task("mail", max_retries=0)
    shop.enqueue("mail", amount=SECRET)
    later = Application(shop.application.engine, has_tables=True, encryption=AesGcm(shop.keys, "k1"))

    @later.outbox.task("mail", max_retries=0)
    def mail(amount: Decimal) -> None: ...

    run(later)
    (row,) = later.rows()
    assert row.status == Status.FAILED
    assert "the argument 'amount' in the encrypted payload does not fit mail()" in row.schedule_log
    assert SECRET not in shop.everything()


def test_a_dead_letter_is_mended_encrypted_anew_and_the_audit_keeps_nothing_of_it(shop: Shop, run: Any) -> None:
    got: list[str] = []

    @shop.outbox.task(max_retries=0)
    def mail(text: str) -> None:
        if text != f"{SECRET}-mended":
            raise ValueError("not this one")
        got.append(text)

    task_id = shop.enqueue(mail, text=SECRET)
    run()
    letters = DeadLetters(shop.application.engine, shop.outbox)
    seen = letters.inspect(task_id).payload
    assert seen == orjson.dumps({"text": SECRET})
    mended = orjson.dumps({"text": f"{SECRET}-mended"})
    with pytest.raises(OptionError, match="another by now"):
        letters.mend(task_id, mended, seen=b"{}", detail="", actor="ann")
    keyless = DeadLetters(shop.application.engine, Application(shop.application.engine, has_tables=True).outbox)
    hidden = keyless.inspect(task_id)
    assert hidden.payload is None
    assert "this process has no encryption" in (hidden.hidden or "")
    with pytest.raises(OptionError, match="cannot be mended here"):
        keyless.mend(task_id, mended, seen=b"", detail="", actor="ann")
    assert letters.mend(task_id, mended, seen=seen, detail=f"-{SECRET}", actor="ann").count == 1
    run()
    assert got == [f"{SECRET}-mended"]
    assert SECRET not in shop.everything()
    (entry, *_) = Audit(shop.application.engine, shop.outbox).entries(task_id=task_id)
    assert entry.detail == "(the payload is encrypted: what was changed is not kept)"


def test_a_replay_needs_no_keys(shop: Shop, run: Any) -> None:
    @shop.outbox.task(max_retries=0)
    def mail(text: str) -> None:
        if len(attempts) == 0:
            attempts.append(text)
            raise ValueError("once")
        attempts.append(text)

    attempts: list[str] = []
    shop.enqueue(mail, text=SECRET)
    run()
    keyless = Application(shop.application.engine, has_tables=True)
    DeadLetters(keyless.engine, keyless.outbox).replay(Selection(everything=True), actor="ann")
    run()
    assert attempts == [SECRET, SECRET]


def test_users_tests_see_and_drain_what_is_encrypted(shop: Shop) -> None:
    got: list[str] = []

    @shop.outbox.task()
    def mail(text: str) -> None:
        got.append(text)

    with shop.application.session() as session:
        mail.enqueue(session, SECRET)
        shop.outbox.publish(session, "user.registered", {"text": SECRET})
        one, two = enqueued(session, outbox=shop.outbox)
        assert (one.arguments, two.arguments, two.headers) == ({"text": SECRET}, {"text": SECRET}, {})
        publisher = MemoryPublisher()
        drain(session, outbox=shop.outbox, publishers={"kafka": publisher})
        session.rollback()
    assert got == [SECRET]
    assert orjson.loads(publisher.records[0].value) == {"text": SECRET}
