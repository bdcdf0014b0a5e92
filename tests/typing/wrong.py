"""Calls that type checkers must refuse, each on a line that ends with `# wrong`; nothing here is ever run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import Engine, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from asyncflow import Call, Inbox, Message, Outbox, Scheduler, SchedulerSettings, Task, TaskContext
from asyncflow.events import Event
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.scheduler import Outcome, Record
from asyncflow.testing import MemoryPublisher, advance, assert_enqueued, drain, enqueued, perform, task_context

outbox = Outbox(MetaData())


@outbox.task()
def pay(ctx: TaskContext, order_id: int, note: str = "") -> int:
    return order_id


@outbox.task(transactional=True)
def book(session: Session, order_id: int) -> None: ...


@outbox.task()
async def mail(address: str) -> str:
    return address


class Silent:
    def publish(self, batch: Sequence[Record]) -> None: ...

    def close(self) -> None: ...


class Endless:
    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        return []


@contextmanager
def tenancy(ctx: TaskContext) -> Iterator[None]:
    yield


def no_context(ctx: TaskContext) -> None: ...


def wrong_hook(name: str) -> None: ...


def wrong_builder(session: Session) -> list[str]:
    return []


def arguments(session: Session, connection: Engine) -> None:
    pay.enqueue(session)  # wrong
    pay.enqueue(session, order_id="1")  # wrong
    pay.enqueue(session, oder_id=1)  # wrong
    pay.enqueue(session, order_id=1, too=2)  # wrong
    pay.enqueue(session, order_id=1, note=None)  # wrong
    pay.enqueue(session, 1, 2)  # wrong
    pay.enqueue(session, 1, "a", "b")  # wrong
    pay.enqueue(session, order_id=1, delay_seconds=3)  # wrong
    pay.enqueue(order_id=1)  # wrong
    pay.enqueue(connection, order_id=1)  # wrong
    pay.enqueue("session", order_id=1)  # wrong
    book.enqueue(session, session, order_id=1)  # wrong
    book.enqueue(session, order_id=None)  # wrong
    mail.enqueue(session, address=1)  # wrong
    text: str = pay.enqueue(session, order_id=1)  # wrong
    pay("1")  # wrong
    mail(1)  # wrong
    number: int = mail(address=text)  # wrong
    pay.enque(session, order_id=number)  # wrong


def options(session: Session) -> None:
    pay.options(delay_second=3)  # wrong
    pay.options(delay_seconds="3")  # wrong
    pay.options(key=1)  # wrong
    pay.options(priority=1.5)  # wrong
    pay.options(headers={"a": 1})  # wrong
    pay.options(run_at="tomorrow")  # wrong
    pay.options(3)  # wrong
    pay.options(key="A1").enqueue(session)  # wrong
    pay.options(key="A1").enqueue(session, order_id="1")  # wrong
    outbox.enqueue(session, 7)  # wrong
    outbox.enqueue(session, pay, order_id=1, priority="high")  # wrong
    outbox.enqueue_many(session, pay, [{"order_id": 1}])  # wrong
    outbox.publish(session, pay, {})  # wrong
    outbox.publish(session, "moved", {}, kye="A1")  # wrong
    outbox.publish(session, "moved", {}, headers=["a"])  # wrong
    outbox.publish_many(session, "moved", [Call({})])  # wrong
    Message({}, delay=3)  # wrong
    Call(order_id=1)  # wrong


async def awaiting(session: Session, asynchronous: AsyncSession) -> None:
    await pay.enqueue_async(session, order_id=1)  # wrong
    await pay.enqueue_async(asynchronous, order_id="1")  # wrong
    await pay.enqueue(asynchronous, order_id=1)  # wrong
    await outbox.enqueue_async(session, pay, order_id=1)  # wrong
    await outbox.publish_async(asynchronous, "moved", {}, kye="A1")  # wrong
    await Inbox(MetaData()).process_once_async(asynchronous, 1, consumer="mails")  # wrong


def declarations() -> None:
    outbox.task(max_retry=3)  # wrong
    outbox.task(max_retries="3")  # wrong
    outbox.task("named", ordered=True)  # wrong
    outbox.task(transactional=1.5)  # wrong
    outbox.message("moved", concurrency=3)  # wrong
    outbox.message("moved", when_exhausted="stop")  # wrong
    outbox.message("moved")(wrong_builder)  # wrong
    outbox.periodic(pay, 3)  # wrong
    outbox.periodic(pay, "0 3 * * *", misfire="never")  # wrong
    outbox.periodic(pay, "0 3 * * *", time_zone="UTC")  # wrong
    Outbox(MetaData(), shards=16)  # wrong
    Outbox(MetaData(), hooks=[wrong_hook])  # wrong
    Outbox("metadata")  # wrong


def running(engine: Engine) -> None:
    Scheduler(engine, outbox, {"kafka": Silent()})  # wrong
    Scheduler(engine, outbox, {"kafka": Endless()})  # wrong
    Scheduler(engine, outbox, MemoryPublisher())  # wrong
    Scheduler(engine, outbox, {}, tick_seconds=1)  # wrong
    Scheduler(engine, outbox, {}, on_success="drop")  # wrong
    Scheduler(engine, outbox, {}, hooks=[wrong_hook])  # wrong
    Scheduler("sqlite://", outbox, {})  # wrong
    SchedulerSettings(round_size="many")  # wrong
    Scheduler(engine, outbox, {}).drain(True)  # wrong
    print(Scheduler(engine, outbox, {}).drain().send)  # wrong


async def testing(session: Session, asynchronous: AsyncSession) -> None:
    assert_enqueued(pay, session, order_id=1)  # wrong
    enqueued(session, outbox="shop")  # wrong
    drain(session, Silent())  # wrong
    drain(session, raise_error=False)  # wrong
    print(drain(asynchronous).sent)  # wrong
    advance(session, "60")  # wrong
    amount: str = perform(pay, order_id=1)  # wrong
    task_context(attempts=amount)  # wrong
    tasks: list[Task] = await enqueued(session)  # wrong
    MemoryPublisher(lambda event: Event())  # wrong
    print(tasks)


async def results(session: Session, engine: Engine, asynchronous: AsyncEngine, task_id: UUID) -> None:
    outbox.task(keep_result="yes")  # wrong
    outbox.message("moved", keep_result=True)  # wrong
    outbox.result(session, "id")  # wrong
    outbox.result(task_id)  # wrong
    print(outbox.result(session, task_id).value)  # wrong
    outbox.wait_result(session, task_id)  # wrong
    outbox.wait_result(engine, task_id, timeout=3)  # wrong
    outbox.wait_result(asynchronous, task_id)  # wrong
    await outbox.await_result(engine, task_id)  # wrong
    await outbox.result_async(session, task_id)  # wrong
    outbox.find(session, keys="A1")  # wrong
    outbox.find(session, limit="5")  # wrong
    outbox.find(session, status="failed")  # wrong
    outbox.find(key="A1")  # wrong
    await outbox.find_async(session, key="A1")  # wrong


def follow_ups(session: Session) -> None:
    pay.later(order_id="1")  # wrong
    pay.later(oder_id=1)  # wrong
    pay.later(session, order_id=1)  # wrong
    pay.options(then=pay)  # wrong
    pay.options(then=pay.enqueue(session, order_id=1))  # wrong
    pay.options(afterwards=pay.later(order_id=1))  # wrong
    Call({"order_id": 1}, then="pay")  # wrong


def around() -> None:
    Outbox(MetaData(), around=tenancy)  # wrong
    Outbox(MetaData(), around=[no_context])  # wrong
    Outbox(MetaData(), around=[tenancy, "tenancy"])  # wrong
    outbox.around.add(no_context)  # wrong


def consuming(session: Session, engine: Engine, inbox: Inbox) -> None:
    Consumer(engine, outbox, "localhost:9092", group="coupons")  # wrong
    Consumer(engine, outbox, inbox, "localhost:9092")  # wrong
    Consumer(engine, outbox, inbox, ["localhost:9092"], group="coupons")  # wrong
    Consumer(engine, outbox, inbox, "localhost:9092", group="coupons", client="kafka")  # wrong
    consumer = Consumer(engine, outbox, inbox, "localhost:9092", group="coupons")
    consumer.subscribe("moved", max_retry=3)  # wrong
    consumer.subscribe("moved", topics=["moves"])  # wrong
    consumer.subscribe(3)  # wrong
    consumer.subscribe("moved")("pay")  # wrong

    @consumer.subscribe("moved")
    def take(session: Session, ctx: TaskContext, order_id: int) -> None: ...

    take.enqueue(session, order_id="1")  # wrong
    take.enqueue(session, session=session, order_id=1)  # wrong
    take.options(delay=3)  # wrong
