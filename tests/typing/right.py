"""Calls that type checkers must take; `python -m tools.typing_calls` asks mypy and pyright."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, scoped_session

from asyncflow import (
    RESULT,
    Call,
    Done,
    HandlerType,
    Inbox,
    Message,
    MessageType,
    Outbox,
    PeriodicTask,
    Scheduler,
    SchedulerSettings,
    Status,
    Task,
    TaskContext,
)
from asyncflow.events import Event, TaskFailed
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.scheduler import SENT, Counters, Drained, Publisher, Record, Retry, Sent
from asyncflow.testing import (
    EnqueuedTask,
    MemoryPublisher,
    Signals,
    advance,
    assert_enqueued,
    drain,
    enqueued,
    perform,
    task_context,
)

outbox = Outbox(MetaData(), prefix="shop_", shard_count=16, hooks=[lambda event: None])


@outbox.task
def plain(order_id: int, note: str = "") -> None: ...


@outbox.task(max_retries=5, concurrency=4, retry_jitter=0.5)
def with_context(ctx: TaskContext, order_id: int) -> Decimal:
    return Decimal(ctx.attempt + order_id)


@outbox.task(transactional=True)
def with_session(session: Session, order_id: int) -> None: ...


@outbox.task(transactional=True)
def with_both(session: Session, ctx: TaskContext, order_id: int) -> None: ...


@outbox.task(transactional=True)
def the_other_way_round(ctx: TaskContext, session: Session, order_id: int) -> None: ...


@outbox.task()
async def awaited(ctx: TaskContext, order_id: int) -> str:
    return str(order_id)


@outbox.task("orders.confirm", limit=100, enabled=False)
def named(order_id: int) -> None: ...


elsewhere: HandlerType = outbox.task("elsewhere", max_retries=0)
moved: MessageType = outbox.message("moved", ordered=True, when_exhausted="skip", topic="moves")


@outbox.message("built", rate_limit_per_second=10.0)
def build(session: Session, tasks: Sequence[Task]) -> Iterable[Mapping[str, str | None]]:
    return [{"key": task.key} for task in tasks]


class OwnPublisher:
    def publish(self, records: Sequence[Record]) -> list[Sent | Retry]:
        return [SENT for _ in records]

    def close(self) -> None: ...


def own_hook(told: Event) -> None:
    if isinstance(told, TaskFailed):
        print(told.task_type, told.error)


def enqueuing(
    session: Session, connection: Connection, scoped: scoped_session[Session], asynchronous: AsyncSession
) -> None:
    first: UUID = plain.enqueue(session, order_id=1)
    plain.enqueue(session, 1)
    plain.enqueue(session, 1, "soon")
    plain.enqueue(connection, order_id=1, note="now")
    plain.enqueue(scoped, order_id=1)
    plain.enqueue(asynchronous, order_id=1)
    with_context.enqueue(session, order_id=1)
    with_session.enqueue(session, order_id=1)
    with_both.enqueue(session, order_id=1)
    the_other_way_round.enqueue(session, order_id=1)
    awaited.enqueue(session, order_id=1)
    plain.options(delay_seconds=3, key="A1").enqueue(session, order_id=1)
    plain.options(delay_seconds=timedelta(minutes=1), headers={"a": "b"}, priority=10).enqueue(session, 1)
    plain.options(run_at=datetime.now(timezone.utc), max_retries=0).options(key=None).enqueue(session, order_id=1)
    is_new: bool = plain.options(idempotency_key="k").enqueue_once(session, order_id=1).is_new
    outbox.enqueue(session, plain, order_id=1, delay_seconds=3)
    outbox.enqueue(session, "elsewhere", order_id=first)
    outbox.enqueue(session, elsewhere, anything=is_new)
    outbox.enqueue_many(session, plain, [Call({"order_id": 1}), Call({"order_id": 2}, key="A2")])
    outbox.publish(session, "moved", {"to": "Rome"}, key="A1", headers={"a": "b"})
    outbox.publish_many(connection, "moved", (Message({"n": n}, key="A1") for n in range(3)))


async def enqueuing_in_an_async_session(session: AsyncSession) -> None:
    one: UUID = await plain.options(idempotency_key="k").enqueue_async(session, order_id=1)
    two: UUID = await outbox.enqueue_async(session, plain, order_id=1, idempotency_key="k")
    three: UUID = await outbox.publish_async(session, "moved", {}, key="A1", idempotency_key="k")
    await outbox.enqueue_many_async(session, plain, [Call({"order_id": 1}, idempotency_key="k")])
    await outbox.publish_many_async(session, "moved", [Message({}, key="A1", idempotency_key="k")])
    await plain.enqueue_async(session, 1, note=f"{one}{two}{three}")
    if (await plain.options(key="A").enqueue_once_async(session, order_id=1)).is_new:
        await Inbox(MetaData()).process_once_async(session, "message", consumer="mails")


async def calling(session: Session) -> None:
    plain(1)
    plain(order_id=1, note="now")
    amount: Decimal = with_context(task_context(), order_id=1)
    with_context(ctx=task_context(), order_id=int(amount))
    with_session(session, 1)
    with_session(session=session, order_id=1)
    text: str = await awaited(task_context(), order_id=1)
    plain(order_id=len(text))


def running(engine: Engine) -> None:
    publisher: Publisher = OwnPublisher()
    outbox.periodic(plain, "0 3 * * *", timezone="Europe/Rome", arguments={"order_id": 1}, misfire="skip")
    nightly: PeriodicTask = outbox.periodic("elsewhere", "0 4 * * *", name="nightly", grace_seconds=5)
    scheduler = Scheduler(engine, outbox, {"kafka": publisher}, hooks=[own_hook, Signals()], tick=0.5, round_size=10)
    Scheduler(engine, outbox, {"kafka": MemoryPublisher()}, settings=SchedulerSettings(on_success="delete"))
    with scheduler as running:
        counters: Counters = running.counters()
        running.wait(timeout_seconds=0.1 * counters.ticks)
    drained: Drained = scheduler.drain(raise_errors=True)
    print(drained.sent, drained.left[nightly.task_type], drained.errors)


async def testing(session: Session, asynchronous: AsyncSession) -> None:
    task: EnqueuedTask = assert_enqueued(session, plain, order_id=1, key="A1")
    tasks: list[EnqueuedTask] = enqueued(session, outbox=outbox)
    amount: Decimal = perform(with_context, order_id=len(tasks))
    text: str = await perform(awaited, order_id=int(amount))
    drain(session, MemoryPublisher(lambda record: SENT), raise_errors=False).raise_first()
    advance(session, 3.5)
    await assert_enqueued(asynchronous, plain, note=f"{task} {text}")
    (await drain(asynchronous, {"kafka": OwnPublisher()})).raise_first()
    await advance(asynchronous, 60)


@contextmanager
def tenancy(ctx: TaskContext) -> Iterator[None]:
    print(ctx.headers.get("tenant"))
    yield


@asynccontextmanager
async def tracing(ctx: TaskContext) -> AsyncIterator[None]:
    yield


def around() -> None:
    around_all = Outbox(MetaData(), around=[tenancy, tracing])
    around_all.around.add(tenancy)
    Outbox(MetaData(), around=(tenancy,))


@outbox.task(keep_result=True)
def count(text: str) -> int:
    return len(text)


@outbox.task
def report(title: str, letters: int) -> None: ...


def following(session: Session) -> None:
    then = report.options(delay_seconds=60).later("letters", letters=RESULT)
    task_id = count.options(then=then).enqueue(session, "text")
    count.options(then=count.options(then=report.later("a", 1)).later(text="b"), key="A1").enqueue(session, text="c")
    outbox.enqueue(session, count, text="d", then=report.later(title="e", letters=2))
    outbox.enqueue_many(session, count, [Call({"text": "f"}, then=report.later("g", 3))])
    found = outbox.result(session, task_id)
    if isinstance(found, Done):
        print(found.value + 1)


async def waiting(engine: Engine, asynchronous: AsyncEngine, session: AsyncSession, task_id: UUID) -> None:
    print(outbox.wait_result(engine, task_id, timeout_seconds=3))
    print(await outbox.await_result(asynchronous, task_id, timeout_seconds=0.5))
    found = await outbox.result_async(session, task_id)
    if isinstance(found, Done):
        print(found.value)


async def looking_up(session: Session, asynchronous: AsyncSession, task_id: UUID) -> None:
    page = outbox.find(session, key="A1", task_type=count, status=Status.FAILED, newest_first=True, limit=5)
    print([task.id.hex + task.task_type + str(task.attempts) for task in page], page[0].due_at, page[1:])
    page = outbox.find(session, key="A1", after=page.next)
    page = await outbox.find_async(asynchronous, ids=[task_id, str(task_id)])


def consuming(session: Session, engine: Engine, inbox: Inbox) -> None:
    consumer = Consumer(engine, outbox, inbox, "localhost:9092", group="coupons", client="confluent-kafka")

    @consumer.subscribe("moved", max_retries=5, retry_interval_seconds=1)
    def take(session: Session, order_id: int) -> None: ...

    @consumer.subscribe("moved", topic="moves", name="points.count", keep_result=True)
    def count_points(session: Session, ctx: TaskContext, order_id: int, amount: int = 1) -> int:
        return amount

    take.enqueue(session, order_id=1)
    take(session, 1)
    points: int = count_points(session=session, ctx=task_context(), order_id=1)
    count_points.options(delay_seconds=points).enqueue(session, 1, amount=2)
    consumer.stop()


async def consuming_asynchronously(engine: AsyncEngine, inbox: Inbox) -> None:
    consumer = Consumer(engine, outbox, inbox, "localhost:9092", group="coupons")

    @consumer.subscribe("moved")
    async def take_asynchronously(session: AsyncSession, order_id: int) -> None: ...

    await consumer.run_async()
