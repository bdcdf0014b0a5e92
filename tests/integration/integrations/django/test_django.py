"""Django: a task shares the fate of Django's own transaction, and a handler's effect that of its task."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connections, transaction
from sqlalchemy import MetaData, inspect, select

from asyncflow import Inbox, Message, Outbox, Status
from asyncflow.errors import NotTransactionalError, OptionError, UnsettledEffectError
from asyncflow.events import Event, TaskEnqueued, TasksSettled
from asyncflow.integrations.django import DjangoOutbox
from asyncflow.integrations.opentelemetry import Tracing
from asyncflow.scheduler.schema.check import check
from asyncflow.testing import drain
from tests.integration.integrations.django.conftest import Shop


class LeaveError(Exception):
    """Leave a block."""


def test_the_migrations_make_the_tables_as_the_code_has_them(shop: Shop) -> None:
    metadata = MetaData()
    Outbox(metadata), Inbox(metadata)
    options = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or "asyncflow" in name}
    with shop.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    assert check(shop.engine, Outbox(metadata)).operations == ()


def test_the_migrations_are_taken_back(shop: Shop) -> None:
    def ours() -> list[str]:
        return [name for name in inspect(shop.engine).get_table_names() if name.startswith("asyncflow_")]

    assert len(ours()) == 14
    try:
        call_command("migrate", "asyncflow", "zero", database=shop.using, verbosity=0)
        assert ours() == []
    finally:
        call_command("migrate", "asyncflow", database=shop.using, verbosity=0)


def test_a_task_commits_with_django_s_transaction(shop: Shop) -> None:
    with shop.atomic():
        shop.register("é€😀")
        shop.write_down.enqueue(shop.here, name="é€😀")
        shop.outbox.publish(shop.here, "user.registered", {"name": "é€😀"}, key="é€😀")
        assert shop.tasks() == 0
    assert (shop.users(), shop.tasks()) == (["é€😀"], 2)


def test_a_task_rolls_back_with_django_s_transaction(shop: Shop) -> None:
    with suppress(LeaveError), shop.atomic():
        shop.register("A")
        shop.outbox.publish_many(shop.here, "user.registered", [Message(1, "A"), Message(2, "A")])
        shop.write_down.options(idempotency_key="A").enqueue(shop.here, name="A")
        raise LeaveError
    assert (shop.users(), shop.tasks()) == ([], 0)


def test_a_task_of_a_nested_block_goes_with_that_block(shop: Shop) -> None:
    with shop.atomic():
        shop.register("outer")
        shop.write_down.enqueue(shop.here, name="outer")
        with suppress(LeaveError), shop.atomic():
            shop.register("inner")
            shop.write_down.enqueue(shop.here, name="inner")
            raise LeaveError
        with shop.atomic():
            shop.write_down.enqueue(shop.here, name="second inner")
    assert (shop.users(), shop.tasks()) == (["outer"], 2)


def test_outside_of_a_transaction_a_task_is_refused_with_the_remedy(shop: Shop) -> None:
    with pytest.raises(NotTransactionalError, match=r"within transaction\.atomic"):
        shop.write_down.enqueue(shop.here, name="A")
    with shop.atomic():
        kept = shop.here
    with pytest.raises(NotTransactionalError):
        shop.write_down.enqueue(kept, name="A")
    assert shop.tasks() == 0


def test_in_a_transaction_that_django_calls_broken_nothing_is_written(shop: Shop) -> None:
    with suppress(LeaveError), shop.atomic():
        with suppress(LeaveError), shop.atomic(savepoint=False):
            raise LeaveError
        with pytest.raises(transaction.TransactionManagementError):
            shop.write_down.enqueue(shop.here, name="A")
        raise LeaveError
    assert shop.tasks() == 0


def test_manual_transaction_management_works_as_well(shop: Shop) -> None:
    django = connections[shop.using]
    django.set_autocommit(False)
    try:
        shop.write_down.enqueue(shop.here, name="rolled back")
        django.rollback()
        shop.write_down.enqueue(shop.here, name="committed")
        django.commit()
    finally:
        django.set_autocommit(True)
    assert shop.tasks() == 1


def test_a_used_idempotency_key_leaves_the_transaction_in_order(shop: Shop) -> None:
    once = shop.write_down.options(idempotency_key="é€😀")
    with shop.atomic():
        first = once.enqueue_once(shop.here, name="A")
    with shop.atomic():
        second = once.enqueue_once(shop.here, name="B")
        shop.register("B")
    assert (first.is_new, second.is_new, second.id) == (True, False, first.id)
    assert (shop.users(), shop.tasks()) == (["B"], 1)


def test_a_connection_that_django_has_replaced_is_used_no_more(shop: Shop) -> None:
    for name in "AB":
        with shop.atomic():
            shop.write_down.enqueue(shop.here, name=name)
        connections[shop.using].close()
    assert shop.tasks() == 2


def test_each_thread_works_in_its_own_transaction(shop: Shop) -> None:
    held: list[Any] = []

    def look() -> None:
        with suppress(LeaveError), shop.atomic():
            held.append(shop.here)
            raise LeaveError
        connections[shop.using].close()

    with shop.atomic():
        held.append(shop.here)
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert held[0] is not held[1]
        assert held[0] is shop.here


def test_the_scheduler_is_woken_by_the_commit_of_the_outermost_block_alone(shop: Shop) -> None:
    heard: list[frozenset[str]] = []
    shop.outbox.bell.connect(heard.append)
    with suppress(LeaveError), shop.atomic():
        shop.write_down.enqueue(shop.here, name="A")
        raise LeaveError
    with shop.atomic():
        with shop.atomic():
            shop.write_down.enqueue(shop.here, name="B")
        with suppress(LeaveError), shop.atomic():
            shop.outbox.publish(shop.here, "user.registered", 1, key="B")
            raise LeaveError
        assert heard == []
    assert heard == [frozenset({"write_down"})]


def test_a_handler_s_effect_and_what_it_enqueues_commit_with_its_task(shop: Shop) -> None:
    with shop.atomic():
        shop.greet.enqueue(shop.here, name="A")
    drained = shop.drain()
    assert (drained.done, drained.errors) == (2, ())
    assert set(shop.users()) == {"A's friend", "A, attempt 1"}


def test_of_a_handler_that_raises_nothing_stays(shop: Shop) -> None:
    shop.faults = [LeaveError("one"), LeaveError("two")]
    with shop.atomic():
        shop.greet.enqueue(shop.here, name="A")
    drained = shop.drain()
    assert (drained.done, drained.failed, shop.users()) == (0, 1, [])


def catch_a_duplicate(shop: Shop) -> None:
    """Do as the ORM's create() does, whose error the caller expects."""
    shop.register("earlier")
    with suppress(IntegrityError), shop.atomic(savepoint=False):
        shop.register("there already")


def set_rollback(shop: Shop) -> None:
    shop.register("earlier")
    transaction.set_rollback(True, using=shop.using)


@pytest.mark.parametrize("handle", [catch_a_duplicate, set_rollback])
def test_what_django_rolls_back_without_a_word_is_not_done(shop: Shop, handle: Callable[[Shop], None]) -> None:
    @shop.outbox.task("handle", transactional=True, max_retries=0)
    def work() -> None:
        handle(shop)

    shop.register("there already")
    with shop.atomic():
        work.enqueue(shop.here)
    drained = shop.drain()
    assert (drained.done, drained.failed, len(drained.errors)) == (0, 1, 1)
    assert shop.users() == ["there already"]
    with shop.engine.connect() as connection:
        assert connection.scalars(select(shop.outbox.tasks.c.status)).all() == [Status.FAILED]
    # PostgreSQL itself refuses whatever follows an error.
    if handle is set_rollback or connections[shop.using].vendor != "postgresql":
        assert isinstance(drained.errors[0], UnsettledEffectError)
        assert "transaction.atomic()" in str(drained.errors[0])


def test_a_handler_that_catches_a_duplicate_in_a_block_of_its_own_is_done(shop: Shop) -> None:
    @shop.outbox.task(transactional=True)
    def work() -> None:
        shop.register("earlier")
        with suppress(IntegrityError), shop.atomic():
            shop.register("there already")

    shop.register("there already")
    with shop.atomic():
        work.enqueue(shop.here)
    assert shop.drain().done == 1
    assert shop.users() == ["earlier", "there already"]


@contextmanager
def autocommit_off(shop: Shop) -> Iterator[None]:
    django = connections[shop.using]
    django.set_autocommit(False)
    try:
        yield
    finally:
        django.rollback()
        django.set_autocommit(True)


@pytest.mark.parametrize("outer", [Shop.atomic, autocommit_off])
def test_a_handler_whose_block_would_not_be_the_commit_is_refused(shop: Shop, outer: Callable[[Shop], Any]) -> None:
    @shop.outbox.task(transactional=True, max_retries=0)
    def work() -> None:
        shop.register("A")

    shop.outbox.around.add(lambda _: outer(shop))
    with shop.atomic():
        work.enqueue(shop.here)
    drained = shop.drain()
    assert (drained.done, drained.failed, shop.users()) == (0, 1, [])
    assert isinstance(drained.errors[0], OptionError)
    assert "leave" in str(drained.errors[0])


def test_a_test_s_drain_tells_as_well_what_django_would_roll_back(shop: Shop) -> None:
    @shop.outbox.task(transactional=True, max_retries=0)
    def work() -> None:
        set_rollback(shop)

    with suppress(LeaveError), shop.atomic():
        work.enqueue(shop.here)
        drained = drain(shop.here, outbox=shop.outbox, raise_errors=False)
        assert (drained.done, drained.failed) == (0, 1)
        raise LeaveError
    assert shop.users() == []


def test_a_handler_whose_commit_fails_is_done_again(shop: Shop) -> None:
    django = connections[shop.using]
    if django.vendor != "postgresql":
        pytest.skip("no constraint of this database waits for the commit")
    with django.cursor() as cursor:
        cursor.execute("ALTER TABLE users ADD CONSTRAINT late UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
        cursor.execute("ALTER TABLE users DROP CONSTRAINT users_pkey")
    try:
        shop.register("A's friend")
        with shop.atomic():
            shop.greet.enqueue(shop.here, name="A")
        drained = shop.drain()
        assert (drained.done, drained.failed, shop.users()) == (0, 1, ["A's friend"])
        assert isinstance(drained.errors[0], DatabaseError)
    finally:
        with django.cursor() as cursor:
            cursor.execute("ALTER TABLE users DROP CONSTRAINT late")


def test_messages_go_to_their_publisher(shop: Shop) -> None:
    with shop.atomic():
        for number in range(3):
            shop.outbox.publish(shop.here, "user.registered", number, key="A")
    assert shop.drain().sent == 3
    assert [record.value for record in shop.publisher.records] == [b"0", b"1", b"2"]


def test_a_test_drains_in_its_own_transaction(shop: Shop) -> None:
    shop.faults = [LeaveError("one")]
    with suppress(LeaveError), shop.atomic():
        shop.greet.enqueue(shop.here, name="A")
        drained = drain(shop.here, outbox=shop.outbox, raise_errors=False)
        assert (drained.retried, drained.done) == (1, 2)
        raise LeaveError
    assert (shop.users(), shop.tasks()) == ([], 0)


def test_hooks_hear_of_the_scheduler_s_work_as_well(shop: Shop) -> None:
    heard: list[Event] = []
    tracing = Tracing()  # takes no events
    outbox = DjangoOutbox(using=shop.using, hooks=[heard.append, tracing])  # type: ignore[list-item]

    @outbox.task("heard of")
    def nothing() -> None: ...

    with shop.atomic():
        outbox.enqueue(shop.here, "heard of")
    scheduler = outbox.scheduler()
    assert scheduler.drain(raise_errors=True).done == 1
    scheduler.stop()
    assert {TaskEnqueued, TasksSettled} <= set(map(type, heard))
