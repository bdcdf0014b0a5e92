"""What a consumer of queues does where broker or database are away; with a broker of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine
from sqlalchemy.exc import OperationalError

from asyncflow import Inbox, Outbox, RetryTask
from asyncflow.consuming.delivered import Delivered
from asyncflow.consuming.growing_pause import GrowingPause
from asyncflow.consuming.options import require_dead_after
from asyncflow.consuming.queue_consumer import QueueConsumer
from asyncflow.errors import OptionError
from asyncflow.events import AttemptFailed, StepFailed

Step = Callable[[], Sequence[Delivered]]


class ScriptedQueue:
    """Give at each take what the next step returns; stops the consumer after the last."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.done: list[str] = []
        self.left: list[list[str]] = []
        self.rooms: list[int] = []
        self.stop: Callable[[], Any] = lambda: None

    def take(self, most: int, seconds: float) -> Sequence[Delivered]:
        self.rooms.append(most)
        if not self.steps:
            self.stop()
            return []
        return self.steps.pop(0)()

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
        self.queue, self.events = ScriptedQueue(), list[Any]()
        self.consumer = ScriptedConsumer(self.queue, engine, outbox, inbox, [self.events.append], 3)

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
