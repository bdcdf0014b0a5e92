"""What applications and handlers do beside a crowd: with keys, with outcomes that are told, and in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData

from asyncflow import Call, Message, Outbox, Scheduler, TaskContext
from asyncflow.scheduler import SENT, Outcome, Rejected, Retry
from asyncflow.scheduler.queues.letters import Letter, read_letter
from asyncflow.scheduler.queues.notes import ClaimNote, note_of
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.testing import MemoryPublisher
from tests.support.memory_queue import MemoryQueue

if TYPE_CHECKING:
    from tests.integration.speed.crowd import Crowd, Verb

_TASKS = 50


def writers(crowd: Crowd) -> Iterator[Verb]:
    """Yield what writes with keys, that are new and that are known."""

    def enqueue(kind: str) -> None:
        calls = [replace(Call({}), **{kind: f"{kind}-{number}"}) for number in range(_TASKS)]  # type: ignore[arg-type]
        with crowd.engine.begin() as connection:
            crowd.handlers.enqueue_many(connection, crowd.names[2], calls)

    for kind in ("idempotency_key", "unique_key"):
        yield f"enqueue with a new {kind}", 12, partial(enqueue, kind)
        yield f"enqueue with a known {kind}", 12, partial(enqueue, kind)


def handlers(crowd: Crowd) -> Iterator[Verb]:
    """Yield what a scheduler does for handlers that leave something, and those of which outcomes are told."""
    outbox = Outbox(MetaData(), shard_count=crowd.size.shards, outcomes_to="told")
    outbox.message("told")
    kept = outbox.task("kept", keep_result=True)(_seven)
    outbox.task("broken", max_retries=0)(_fail)
    outbox.task("tried", retry_interval_seconds=60, max_retry_interval_seconds=60)(_fail)
    staged = outbox.task("staged")(_in_stages)

    def enqueue() -> None:
        with crowd.engine.begin() as connection:
            for name in ("kept", "broken", "tried"):
                outbox.enqueue_many(connection, name, [Call({})] * _TASKS)
            staged.options(then=kept.later()).enqueue(connection)

    yield "enqueue", 8, enqueue
    working = Scheduler(crowd.engine, outbox, {"kafka": MemoryPublisher()})
    yield "start to handle", 30, working.machinery.take_shares
    yield "handle", 12 * _TASKS, lambda: working.worker.drain(lambda: None)
    yield "stop handling", 10, lambda: working.stop(timeout_seconds=10)


def queued(crowd: Crowd) -> Iterator[Verb]:
    """Yield what a scheduler does of tasks that go by a queue, to a worker that tells how they ended."""
    outbox, queue = Outbox(MetaData(), shard_count=crowd.size.shards), MemoryQueue(credits=_TASKS)
    by_queue = outbox.task("by queue", queue="workers")(_seven)

    def enqueue() -> None:
        with crowd.engine.begin() as connection:
            outbox.enqueue_many(connection, by_queue, [Call({})] * _TASKS)

    def work() -> None:
        held = [_held(read_letter(arrival.body)) for arrival in queue.take({"by queue": _TASKS}, 0.0)]
        queue.tell([note_of(ClaimNote(renewed=held, lease_seconds=60.0))])
        queue.tell([note_of(ClaimNote(outcomes=[ClaimOutcome(one, "success") for one in held]))])

    yield "enqueue for a queue", 8, enqueue
    sending = Scheduler(crowd.engine, outbox, {}, queues={"workers": queue})
    yield "start to hand over", 30, sending.machinery.take_shares
    (post,) = sending.machinery.staff.posts
    yield "hand over", 20, lambda: [post.dispatcher.step() for _ in range(3)]
    work()
    yield "collect outcomes", 20, lambda: [post.collector.step() for _ in range(2)]
    yield "stop handing over", 10, partial(sending.stop, timeout_seconds=10)


def _held(letter: Letter) -> HeldClaim:
    return HeldClaim(letter.task.id, letter.token)


def refusals(crowd: Crowd) -> Iterator[Verb]:
    """Yield what a relay does where its destination refuses: with messages of all types, and with ordered ones."""

    def publish() -> None:
        with crowd.engine.begin() as connection:
            messages = [Message({}, key=f"k{number % 5}") for number in range(_TASKS)]
            crowd.ordered.publish_many(connection, crowd.names[-1], messages)

    yield "publish in order", 8, publish
    answers: dict[str, Callable[[Any], Outcome]] = {
        "to try again": lambda _: Retry("no"),
        "for good": lambda _: Rejected("no"),
    }
    for how, answer in answers.items():
        for kind, outbox in (("messages", crowd.messages), ("messages in order", crowd.ordered)):
            relaying = Scheduler(crowd.engine, outbox, {"kafka": MemoryPublisher(answer)})
            yield f"start to relay {kind}", 30, relaying.machinery.take_shares
            relay = relaying.relays[0]
            yield f"{kind} are refused {how}", 3 * 1024, lambda relay=relay: [relay.step() for _ in range(3)]  # type: ignore[misc]
            yield f"stop relaying {kind}", 20, partial(relaying.stop, timeout_seconds=10)


def coalescing(crowd: Crowd) -> Iterator[Verb]:
    """Yield what a relay does of a type of which the latest of a key is sent, as it is refused and as it is taken."""
    outbox = Outbox(MetaData(), shard_count=crowd.size.shards)
    outbox.message("state", ordered=True, coalesce=True, when_exhausted="skip", retry_interval_seconds=0)

    def publish() -> None:
        with crowd.engine.begin() as connection:
            outbox.publish_many(connection, "state", [Message({}, key=f"s{number % 5}") for number in range(_TASKS)])

    yield "publish states", 8, publish
    answers = [Retry("no")] * 5
    publisher = MemoryPublisher(lambda _: answers.pop() if answers else SENT)
    relaying = Scheduler(crowd.engine, outbox, {"kafka": publisher})
    yield "start to relay states", 30, relaying.machinery.take_shares
    yield "states are refused and sent", 3 * 1024, lambda: [relaying.relays[0].step() for _ in range(3)]
    yield "stop relaying states", 10, partial(relaying.stop, timeout_seconds=10)


def _seven() -> int:
    return 7


def _fail() -> None:
    raise ValueError("no")


def _in_stages(ctx: TaskContext) -> None:
    ctx.checkpoint(stage="halfway", context="x" * 100_000)
