"""What a consumer of queues does where broker or database are away; with a broker of the test's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import MetaData, StaticPool, create_engine, func, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from asyncflow import Inbox, Outbox, RetryTask, Status
from asyncflow.consuming.delivered import Delivered
from asyncflow.consuming.growing_pause import GrowingPause
from asyncflow.consuming.options import require_dead_after
from asyncflow.consuming.queue_consumer import QueueConsumer
from asyncflow.errors import EventLoopError, NotTransactionalError, OptionError
from asyncflow.events import AttemptFailed, StepFailed, UntakenMessageSeen
from asyncflow.outbox.clock import NO_TIME

Step = Callable[[], Sequence[Delivered]]


class ScriptedQueue:
    """Give at each take what the next step returns; stops the consumer after the last."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.done: list[str] = []
        self.left: list[list[str]] = []
        self.rooms: list[int] = []
        self.fault: Exception | None = None
        self.stop: Callable[[], Any] = lambda: None

    def take(self, most: int, seconds: float) -> Sequence[Delivered]:
        self.rooms.append(most)
        if not self.steps:
            self.stop()
            return []
        return self.steps.pop(0)()

    def require_living(self) -> None:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault

    def acknowledge(self, delivery: Delivered) -> None:
        self.done.append(delivery.within)

    def close(self, left: Sequence[Delivered]) -> None:
        self.left.append([one.within for one in left])


class ScriptedConsumer(QueueConsumer):
    def __init__(self, queue: ScriptedQueue, *given: Any) -> None:
        super().__init__(*given)
        self.topics: list[Collection[str]] = []
        self._queue = queue
        queue.stop = self._stopping.set

    def _connect(self, topics: Collection[str]) -> ScriptedQueue:
        self.topics.append(topics)
        return self._queue


class Place:
    def __init__(self, url: str) -> None:
        metadata = MetaData()
        engine = create_engine(url)
        outbox, inbox = Outbox(metadata), Inbox(metadata)
        metadata.create_all(engine)
        self.engine, self.outbox, self.inbox = engine, outbox, inbox
        self.queue, self.events = ScriptedQueue(), list[Any]()
        self.consumer = ScriptedConsumer(self.queue, engine, outbox, inbox, [self.events.append], 3)

    def dead_letters(self) -> list[Any]:
        """Return their headers, but for where they came from."""
        tasks = self.outbox.tasks.c
        with self.engine.connect() as connection:
            found = connection.scalars(select(tasks.headers).where(tasks.status == int(Status.FAILED)))
            read = [orjson.loads(one) if isinstance(one, (str, bytes)) else one or {} for one in found]
        return [{name: value for name, value in one.items() if name != "from-place"} for one in read]

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("asyncflow.consuming.consumer.PAUSE_SECONDS", 0.01)
    return Place(f"sqlite:///{tmp_path}/consumer.db")


def received(number: int, key: bytes | None = None) -> Delivered:
    return Delivered("coupons", str(number), key, b"{}", {}, None)


def test_a_message_is_acknowledged_behind_its_effect_and_one_for_nobody_at_once(place: Place) -> None:
    seen: list[Any] = []

    @place.consumer.subscribe("coupons")
    def coupons(session: Any, ctx: Any) -> None:
        seen.append((ctx.headers["from-place"], list(place.queue.done)))

    unknown = received(1)._replace(headers={"message-type": b"another"})
    place.queue.steps = [lambda: [received(0), unknown, received(2)]]
    place.consumer.run()
    assert seen == [("coupons/0", []), ("coupons/2", ["0", "1"])]
    assert place.queue.done == ["0", "1", "2"]
    assert place.consumer.topics == [["coupons"]]
    assert place.queue.left == [[]]


def test_a_subscriber_that_returns_its_work_undone_has_not_taken_the_message(place: Place) -> None:
    async def work() -> None: ...

    @place.consumer.subscribe("coupons", max_retries=0)
    def coupons(session: Any) -> Any:
        return work()

    place.queue.steps = [lambda: [received(0)]]
    place.consumer.run()
    assert len(place.dead_letters()) == 1


@pytest.mark.parametrize(
    ("error", "options"),
    [(OptionError, {"poolclass": StaticPool}), (NotTransactionalError, {"isolation_level": "AUTOCOMMIT"})],
    ids=["shared", "autocommit"],
)
def test_an_engine_whose_connections_others_use_or_that_commits_by_itself_is_refused_before_it_is_used(
    tmp_path: Path, error: type[Exception], options: dict[str, Any]
) -> None:
    place = Place(f"sqlite:///{tmp_path}/consumer.db")
    engine = create_engine(place.engine.url, connect_args={"check_same_thread": False}, **options)
    consumer = ScriptedConsumer(place.queue, engine, place.outbox, Inbox(MetaData()), [], 3)

    @consumer.subscribe("coupons")
    def coupons(session: Any) -> None: ...

    with engine.connect() as connection:
        connection.execute(insert(place.inbox.entries), {"consumer": "a", "message_id": "b", "processed_at": NO_TIME})
        with pytest.raises(error):
            consumer.run()
        with pytest.raises(error):
            consumer.start()
        connection.rollback()
        left = connection.scalar(select(func.count()).select_from(place.inbox.entries))
    assert left == (error is NotTransactionalError)


def test_coroutines_of_a_consumer_use_no_engine_that_another_loop_uses(tmp_path: Path) -> None:
    metadata, queue, loops = MetaData(), ScriptedQueue(), list[Any]()
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/consumer.db")
    outbox, inbox = Outbox(metadata), Inbox(metadata)
    queue.steps = [lambda: [received(0)]]

    def make() -> ScriptedConsumer:
        consumer = ScriptedConsumer(queue, engine, outbox, inbox, [], 3)

        @consumer.subscribe("coupons", name=f"coupons_{len(outbox.handler_types)}")
        async def coupons(session: AsyncSession) -> None:
            loops.append(asyncio.get_running_loop())

        return consumer

    async def application() -> None:
        beside = make()
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        with pytest.raises(EventLoopError, match="start the consumer on the loop"):
            beside.start()
        await make().run_async()
        assert loops == [asyncio.get_running_loop()]
        await engine.dispose()

    asyncio.run(application())


def test_a_subscriber_may_stop_its_consumer_which_does_not_wait_for_itself(place: Place) -> None:
    stopped: list[bool] = []

    @place.consumer.subscribe("coupons")
    def coupons(session: Any) -> None:
        stopped.append(place.consumer.stop(timeout_seconds=600))

    place.queue.steps = [lambda: [received(0)], lambda: [received(1)]]
    running = threading.Thread(target=place.consumer.run, daemon=True)
    running.start()
    running.join(60)
    assert not running.is_alive()
    assert stopped == [False]
    assert place.queue.done == ["0"]
    assert place.consumer.wait(0)


def test_a_client_that_fails_is_closed_with_what_is_left_and_another_is_made(place: Place) -> None:
    def fail() -> Sequence[Delivered]:
        raise OSError("the broker has gone")

    @place.consumer.subscribe("coupons", retry_interval_seconds=600, max_retry_interval_seconds=600)
    def coupons(session: Any, ctx: Any) -> None:
        if ctx.headers["from-place"] == "coupons/0" and len(place.consumer.topics) == 1:
            raise LookupError("not yet")

    batch = [received(0), received(1)]
    place.queue.steps = [lambda: batch, fail, fail, lambda: batch]
    place.consumer.run()
    assert place.queue.left == [["0"], [], []]
    assert place.queue.done == ["1", "0", "1"]
    assert [event.pause_seconds for event in place.told(StepFailed)] == [0.01, 0.02]


def test_a_lock_that_one_message_waits_for_costs_no_attempt_and_lets_others_go_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncflow.outbox.dialects.sqlite.SQLite.is_lock_wait", lambda *_: True)
    seen: list[tuple[str, int]] = []

    @place.consumer.subscribe("coupons", max_retries=0)
    def coupons(session: Any, ctx: Any) -> None:
        seen.append((ctx.headers["from-place"], ctx.attempt))
        if seen == [("coupons/0", 1)]:
            raise OperationalError("UPDATE", {}, Exception("locked"))

    def nothing() -> Sequence[Delivered]:
        if len(place.queue.done) < 2:
            place.queue.steps.append(nothing)
        return []

    place.queue.steps = [lambda: [received(0), received(1)], nothing]
    place.consumer.run()
    assert seen == [("coupons/0", 1), ("coupons/1", 1), ("coupons/0", 1)]
    assert place.told(AttemptFailed) == []
    assert place.queue.done == ["1", "0"]


def test_what_waits_takes_room_and_no_more_is_taken_than_there_is(place: Place) -> None:
    @place.consumer.subscribe("coupons", retry_interval_seconds=600, max_retry_interval_seconds=600)
    def coupons(session: Any) -> None:
        raise LookupError("never")

    place.queue.steps = [lambda: [received(0), received(1)]]
    place.consumer.run()
    assert place.queue.rooms == [3, 1]
    assert place.queue.left == [["0", "1"]]


def test_a_pause_is_longer_each_time_until_something_goes_well() -> None:
    pause = GrowingPause(1.0, 10.0)
    assert [pause.take() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    pause.begin_anew()
    assert pause.take() == 1


@pytest.mark.parametrize("seconds", [0, 0.5, 3601, True, "30", None])
def test_a_time_of_silence_that_would_not_do_is_refused(seconds: Any) -> None:
    with pytest.raises(OptionError, match="dead_after_seconds is"):
        require_dead_after(seconds)
    assert require_dead_after(30) == 30.0


def test_a_message_that_is_due_again_at_once_keeps_nobody_from_coming(place: Place) -> None:
    seen: list[str] = []

    @place.consumer.subscribe("coupons")
    def coupons(session: Any, ctx: Any) -> None:
        seen.append(ctx.headers["from-place"])
        if ctx.headers["from-place"] == "coupons/0" and "coupons/1" not in seen:
            raise RetryTask("not before the other", delay_seconds=0)

    place.queue.steps = [lambda: [received(0)], lambda: [received(1)], list]
    place.consumer.run()
    assert place.queue.done[-1] == "0"
    assert "1" in place.queue.done


def test_a_client_that_is_lost_is_noticed_while_all_that_it_gave_only_waits(place: Place) -> None:
    @place.consumer.subscribe("coupons", retry_interval_seconds=600, max_retry_interval_seconds=600)
    def coupons(session: Any) -> None:
        raise LookupError("not yet")

    def lose() -> Sequence[Delivered]:
        place.queue.fault = OSError("the channel was closed")
        return [received(n) for n in range(3)]

    place.queue.steps = [lose]
    place.consumer.run()
    assert place.queue.rooms == [3, 3]
    assert [str(event.error) for event in place.told(StepFailed)] == ["the channel was closed"]
    assert len(place.consumer.topics) == 2


def test_attempts_go_on_with_the_next_client_so_that_a_message_gets_to_its_dead_letter(place: Place) -> None:
    def fail() -> Sequence[Delivered]:
        raise OSError("held for too long")

    @place.consumer.subscribe("coupons", max_retries=1, retry_interval_seconds=600, max_retry_interval_seconds=600)
    def coupons(session: Any) -> None:
        raise LookupError("never")

    named = received(0)._replace(headers={"message-id": b"42"})
    place.queue.steps = [lambda: [named], fail, lambda: [named._replace(within="another delivery")]]
    place.consumer.run()
    assert [event.attempt for event in place.told(AttemptFailed)] == [1, 2]
    assert place.queue.done == ["another delivery"]
    assert place.dead_letters() == [{"from-message": "42", "from-type": "coupons"}]


def test_a_message_whose_headers_no_row_can_keep_becomes_a_dead_letter_without_them(place: Place) -> None:
    @place.consumer.subscribe("coupons", max_retries=0)
    def coupons(session: Any) -> None:
        raise LookupError("never")

    headers: Any = {b"\xff": b"a name that is no text"}
    place.queue.steps = [lambda: [received(0, b"A1")._replace(headers=headers)]]
    place.consumer.run()
    assert place.queue.done == ["0"]
    assert place.told(StepFailed) == []
    assert place.dead_letters() == [{}]


def test_a_dead_letter_that_cannot_be_written_at_all_is_tried_again_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bool] = []

    def refuse(*_: Any, is_least: bool = False, **__: Any) -> None:
        written.append(is_least)
        raise LookupError("no table")

    monkeypatch.setattr("asyncflow.consuming.effects.dead_letter", refuse)

    @place.consumer.subscribe("coupons", max_retries=0)
    def coupons(session: Any) -> None:
        raise LookupError("never")

    place.queue.steps = [lambda: [received(0)]]
    place.consumer.run()
    assert written == [False, True]
    assert place.queue.left == [["0"]]
    assert [str(event.error) for event in place.told(StepFailed)] == ["no table"]


def test_messages_that_nobody_takes_are_told_of_once_for_each_type_and_topic(place: Place) -> None:
    @place.consumer.subscribe("coupons")
    def coupons(session: Any) -> None: ...

    other = {"message-type": b"another"}
    batch = [received(0), *(received(n)._replace(headers=other) for n in (1, 2))]
    place.queue.steps = [lambda: batch, lambda: [received(3)._replace(topic="orders", headers=other)]]
    place.consumer.run()
    assert place.queue.done == ["0", "1", "2", "3"]
    assert place.told(UntakenMessageSeen) == [
        UntakenMessageSeen("another", "coupons"),
        UntakenMessageSeen("another", "orders"),
    ]
