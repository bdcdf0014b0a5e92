"""The task that follows another: there if and only if that one is done, once, whatever happens in between."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from asyncflow import RESULT, Done, Outbox, RejectTask, Status
from asyncflow.errors import (
    InvalidArgumentsError,
    InvalidHeadersError,
    InvalidKeyError,
    OptionError,
    PayloadTooLargeError,
    UnsettledEffectError,
)
from asyncflow.scheduler import DeadLetters, Selection
from asyncflow.scheduler.table.claim_owner import ClaimOwner
from asyncflow.scheduler.worker.claiming.claims import Claims
from asyncflow.scheduler.worker.verdict import SUCCEEDED
from asyncflow.testing import drain, enqueued, rolled_back
from tests.integration.conftest import Network
from tests.support.application import Application
from tests.support.databases import open_engine

MANY = 12


class Shop:
    """Have tasks of each kind, and one that follows them."""

    def __init__(self, application: Application) -> None:
        self.application, self.outbox = application, application.outbox
        seen: list[Any] = []
        self.seen = seen
        user = application.User
        self.broken: list[BaseException] = []

        @self.outbox.task(max_retries=0)
        def pack(order: int) -> int:
            if self.broken:
                raise self.broken[0]
            return order * 10

        @self.outbox.task(transactional=True, max_retries=0)
        def book(session: Session, order: int) -> int:
            session.add(user(account_no=f"A{order}"))
            if self.broken:
                raise self.broken[0]
            return order * 10

        @self.outbox.task
        async def call(order: int) -> int:
            await asyncio.sleep(0)
            return order * 10

        @self.outbox.task
        def send(order: int, parcel: int = 0, note: str = "") -> None:
            seen.append((order, parcel, note))

        self.pack, self.book, self.call, self.send = pack, book, call, send
        self.parents: dict[str, Any] = {"pack": pack, "book": book, "call": call}

    def enqueue(self, parent: Any, then: Any, *orders: int) -> list[UUID]:
        with self.application.session() as session, session.begin():
            return [parent.options(then=then(order)).enqueue(session, order=order) for order in orders]

    def drain(self, **options: Any) -> None:
        scheduler = self.application.scheduler(**options)
        scheduler.drain()
        scheduler.stop()

    def follow_ups(self) -> list[Any]:
        tasks = self.outbox.tasks
        return self.application.rows(select(tasks).where(tasks.c.task_type == "send"))


@pytest.fixture
def shop(application: Application) -> Shop:
    return Shop(application)


@pytest.fixture
def small_shop(sqlite_application: Application) -> Shop:
    return Shop(sqlite_application)


@pytest.mark.parametrize("on_success", ["keep", "delete"])
def test_it_comes_when_the_task_is_done_of_whatever_kind_and_gets_its_result(shop: Shop, on_success: str) -> None:
    for number, parent in enumerate(shop.parents.values()):
        orders = range(number * MANY, number * MANY + MANY)
        shop.enqueue(parent, lambda order: shop.send.later(order, parcel=RESULT, note="é"), *orders)
    assert shop.follow_ups() == []
    shop.drain(on_success=on_success)
    assert sorted(shop.seen) == [(order, order * 10, "é") for order in range(3 * MANY)]
    assert len(shop.follow_ups()) == (3 * MANY if on_success == "keep" else 0)


@pytest.mark.parametrize("deletes", [False, True])
def test_of_a_batch_only_those_follow_whose_claims_held(shop: Shop, deletes: bool) -> None:
    ids = shop.enqueue(shop.pack, lambda order: shop.send.later(order), *range(MANY))
    engine, tasks = shop.application.engine, shop.outbox.tasks
    claims = Claims(shop.outbox, engine, ClaimOwner.elsewhere("w1"), 60.0, deletes=deletes)
    found = [claim for head in claims.heads() for claim in claims.claim([([head], MANY)])]
    with engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id.in_(ids[::3])).values(claim_token=UUID(int=1)))
    for claim in found:
        claim.leaves = True
    written = claims.settle([(claim, SUCCEEDED) for claim in found])
    claims.settle([(claim, SUCCEEDED) for claim in found])
    claims.close()
    assert sum(one.changed for one in written) == MANY - len(ids[::3])
    shop.drain()
    assert sorted(order for order, *_ in shop.seen) == [n for n in range(MANY) if n % 3]


def test_it_has_options_of_its_own_and_one_that_follows_it(shop: Shop) -> None:
    moment = datetime.now(timezone.utc) + timedelta(days=1)
    last = shop.send.options(run_at=moment, key="last").later(3)
    second = shop.send.options(delay_seconds=3600, key="second").later(2)
    first = shop.pack.options(
        key="first", headers={"tenant": "acme"}, priority=5, max_retries=7, then=shop.send.options(then=last).later(1)
    )
    shop.enqueue(shop.pack, lambda _: first.later(order=1), 1)
    shop.enqueue(shop.pack, lambda _: second, 2)
    shop.drain()
    rows = {row.task_key: row for row in shop.application.rows() if row.task_key}
    assert (rows["first"].priority, rows["first"].max_retries, rows["first"].status) == (5, 7, Status.SUCCESS)
    state = DeadLetters(shop.application.engine, shop.outbox).inspect(rows["first"].id)
    assert (state.headers, state.follow_up) == ({"tenant": "acme"}, "send")
    assert [order for order, *_ in shop.seen] == [1]
    assert (rows["second"].status, rows["last"].status) == (Status.PENDING, Status.PENDING)
    with shop.application.session() as session:
        waiting = {one.key: one.delay_seconds for one in enqueued(session, shop.send)}
    assert 3000 < waiting["second"] <= 3601
    assert 80_000 < waiting["last"] <= 86_401


@pytest.mark.parametrize("parent", ["pack", "book"])
def test_none_comes_of_a_task_that_failed_until_it_is_replayed(small_shop: Shop, parent: str) -> None:
    shop = small_shop
    shop.broken = [RejectTask("out of paper")]
    (task_id,) = shop.enqueue(shop.parents[parent], lambda order: shop.send.later(order), 1)
    shop.drain()
    assert shop.application.statuses() == [Status.FAILED]
    shop.broken = []
    DeadLetters(shop.application.engine, shop.outbox).replay(Selection(ids=[task_id]), actor="ann")
    shop.drain()
    assert [order for order, *_ in shop.seen] == [1]
    assert shop.application.statuses() == [Status.SUCCESS] * 2


@pytest.mark.parametrize("action", ["cancel", "discard"])
def test_it_goes_with_a_task_that_nobody_wants_any_more(small_shop: Shop, action: str) -> None:
    shop = small_shop
    shop.broken = [RejectTask("out of paper")]
    (task_id,) = shop.enqueue(shop.pack, lambda order: shop.send.later(order), 1)
    shop.drain()
    letters = DeadLetters(shop.application.engine, shop.outbox)
    getattr(letters, action)(Selection(ids=[task_id]), actor="ann")
    shop.drain()
    assert shop.follow_ups() == shop.seen == []


def test_what_a_transactional_handler_enqueues_commits_with_it(shop: Shop) -> None:
    @shop.outbox.task(transactional=True, max_retries=1, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def chain(session: Session) -> None:
        shop.send.enqueue(session, 1)
        session.flush()
        if len(attempts) < 2:
            attempts.append(0)
            raise OSError("away") if len(attempts) == 1 else LookupError("unreachable")

    attempts: list[int] = []
    with shop.application.session() as session, session.begin():
        chain.enqueue(session)
    attempts.append(0)
    shop.drain()
    shop.drain()
    assert [order for order, *_ in shop.seen] == [1]


on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


@on_servers
@pytest.mark.parametrize("on_success", ["keep", "delete"])
def test_it_comes_once_though_the_answer_of_any_commit_is_lost(network: Network, on_success: str) -> None:
    engine, through = network.past, open_engine(network.url)
    application = Application(engine)
    shop = Shop(application)
    application.engine = through
    scheduler = application.scheduler(claim_lease_seconds=60.0, on_success=on_success)
    scheduler.ownership.acquire()
    lost = 0
    for lost in network.proxy.each_lost():
        with Session(engine) as session, session.begin():
            for parent in (shop.pack, shop.book):
                parent.options(then=shop.send.later(lost, parcel=RESULT)).enqueue(session, order=lost)
        _work(scheduler.machinery.staff.worker, shop.seen, 2 * lost + 2)
    scheduler.stop()
    through.dispose()
    assert sorted(shop.seen) == sorted([(n, n * 10, "") for n in range(lost + 1)] * 2)
    assert lost > 2


def _work(worker: Any, seen: list[Any], count: int) -> None:
    """Step as the loop would, until so many are seen and all is settled."""
    for _ in range(2000):
        try:
            idle = worker.step()
        except Exception:  # noqa: BLE001 - the loop would step again, too
            continue
        if len(seen) >= count and idle and not worker.crews.are_busy and not worker._verdicts:
            return
        worker._await_some()


WRONG = [
    (lambda shop: shop.send, OptionError, "give a task of this outbox: then=task.later"),
    (lambda shop: shop.send.options(idempotency_key="k").later(1), InvalidKeyError, "it comes once with the task"),
    (lambda shop: shop.send.later("one"), InvalidArgumentsError, "order is 'one'"),
    (lambda shop: shop.send.later(RESULT, parcel=RESULT), InvalidArgumentsError, "RESULT is given for order, parcel"),
    (lambda shop: shop.send.later(1, packet=RESULT), InvalidArgumentsError, "no argument 'packet'.*did you mean"),
    (lambda shop: shop.send.later(1, note="x" * 30_000), PayloadTooLargeError, "'send' is .* bytes, .* at most 24576"),
    (lambda shop: shop.send.options(delay_seconds=-1).later(1), ValueError, "delay_seconds is -1"),
]


@pytest.mark.parametrize(("then", "kind", "told"), WRONG)
def test_what_is_wrong_with_it_is_refused_where_the_task_is_enqueued(
    small_shop: Shop, then: Any, kind: Any, told: str
) -> None:
    with small_shop.application.session() as session:
        with pytest.raises(kind, match=told):
            small_shop.pack.options(then=then(small_shop)).enqueue(session, order=1)
        assert enqueued(session, outbox=small_shop.outbox) == []


def test_a_task_of_another_outbox_and_its_header_are_refused(small_shop: Shop) -> None:
    from sqlalchemy import MetaData

    other: Any = Outbox(MetaData()).task(lambda_)
    with small_shop.application.session() as session:
        with pytest.raises(OptionError, match="give a task of this outbox"):
            small_shop.pack.options(then=other.later()).enqueue(session, order=1)
        with pytest.raises(InvalidHeadersError, match="written by asyncflow itself"):
            small_shop.pack.options(headers={"asyncflow-then": "{}"}).enqueue(session, order=1)


def lambda_() -> None: ...


def test_a_transactional_handler_that_commits_before_its_result_is_known_is_told(small_shop: Shop) -> None:
    shop, told = small_shop, []

    @shop.outbox.task(transactional=True, max_retries=0)
    def early(session: Session) -> int:
        session.add(shop.application.User(account_no="A1"))
        try:
            session.commit()
        except UnsettledEffectError as error:
            told.append(str(error))
            raise
        return 1

    with shop.application.session() as session, session.begin():
        early.options(then=shop.send.later(RESULT)).enqueue(session)
    shop.drain()
    assert "its result is written with it, and known when it returns" in told[0]
    assert shop.application.statuses() == [Status.FAILED]
    assert shop.application.rows(select(shop.application.User)) == []


def test_it_follows_in_a_users_test_as_well(small_shop: Shop) -> None:
    with rolled_back(small_shop.application.engine) as session:
        for parent in small_shop.parents.values():
            parent.options(then=small_shop.send.later(1, parcel=RESULT)).enqueue(session, order=1)
        assert drain(session, outbox=small_shop.outbox).done == 6
        assert small_shop.outbox.result(session, UUID(int=1)) != Done()
    assert small_shop.seen == [(1, 10, "")] * 3
