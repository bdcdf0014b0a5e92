"""What a consumer does where its broker, its database or a subscriber is at fault; with a broker of the test's own."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, MetaData, create_engine, event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool

from asyncflow import Inbox, Outbox
from asyncflow.commands.running import run_until_stopped
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.consuming.effects import Effects, InboxAwayError
from asyncflow.errors import ForkedError, OptionError
from asyncflow.events import AttemptFailed, HandlerFailedLate, StepFailed
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.kafka.consuming import consumer as module
from asyncflow.integrations.kafka.consuming.received import Membership, Partition, Rebalance, Received
from tests.support.forking import Child

A, B = Partition("coupons", 0), Partition("coupons", 1)
QUICK: dict[str, Any] = {"retry_interval_seconds": 0.01, "max_retry_interval_seconds": 0.01, "max_retries": 2}
SLOW: dict[str, Any] = {"retry_interval_seconds": 600, "max_retry_interval_seconds": 600}
Step = Callable[[], Sequence[Received]]


class ScriptedBroker:
    """Give at each poll what the next step returns; stops the consumer after the last."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.committed: list[Mapping[Partition, int]] = []
        self.calls: list[Any] = []
        self.joined = 0
        self.stop: Callable[[], Any] = lambda: None

    def join(self, _: Membership, rebalance: Rebalance) -> ScriptedBroker:
        self.rebalance = rebalance
        self.joined += 1
        rebalance.assigned([A, B])
        return self

    def poll(self, seconds: float) -> Sequence[Received]:
        if seconds < 0.2:  # what is held is due soon
            time.sleep(seconds)
            return []
        if not self.steps:
            self.stop()
            return []
        return self.steps.pop(0)()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.committed.append(dict(offsets))

    def hold(self, partition: Partition, offset: int) -> None:
        self.calls.append((partition, offset))

    def resume(self, partition: Partition) -> None:
        self.calls.append(partition)

    def close(self) -> None:
        self.calls.append("close")


def received(offset: int, partition: Partition = A, **headers: bytes) -> Received:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Received(partition, offset, None, b"{}", named, 1700)


class Place:
    """Hold a consumer, its broker and what it tells."""

    def __init__(self, url: str, broker: ScriptedBroker) -> None:
        self.metadata = MetaData()
        self.outbox, self.inbox = Outbox(self.metadata), Inbox(self.metadata)
        self.engine = create_engine(url)
        self.broker, self.events = broker, list[Any]()
        self.consumer = self.made(self.engine)

    def made(self, engine: Any) -> Consumer:
        consumer = Consumer(engine, self.outbox, self.inbox, "localhost:9092", group="g", hooks=[self.events.append])
        self.broker.stop = lambda: consumer._stopping.set()
        return consumer

    def letters(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(self.outbox.tasks)))

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    broker = ScriptedBroker()
    monkeypatch.setattr(module, "CLIENTS", {"kafka-python": broker.join})
    monkeypatch.setattr("asyncflow.consuming.consumer.PAUSE_SECONDS", 0.01)
    place = Place(f"sqlite:///{tmp_path}/consumer.db", broker)
    place.metadata.create_all(place.engine)
    return place


@pytest.mark.parametrize("how", ["revoked", "lost"])
def test_a_partition_that_waits_is_resumed_before_it_goes_for_it_may_come_back(place: Place, how: str) -> None:
    attempts: list[int] = []

    @place.consumer.subscribe("coupons", **SLOW)
    def coupons(session: Any, ctx: Any) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) == 1:
            raise LookupError("not yet")

    def rebalance() -> Sequence[Received]:
        getattr(place.broker.rebalance, how)([A, B])
        place.broker.rebalance.assigned([A, B])
        return [received(4)]

    place.broker.steps = [lambda: [received(4)], rebalance]
    place.consumer.run()
    assert place.broker.calls == [(A, 4), A, "close"]
    assert attempts == [1, 1]
    assert place.broker.committed == [{A: 5}]


def test_a_client_that_cannot_resume_what_is_gone_keeps_nobody_from_forgetting_it(place: Place) -> None:
    def refuse(_: Partition) -> None:
        raise KeyError("not assigned")

    def rebalance() -> Sequence[Received]:
        place.broker.resume = refuse  # type: ignore[method-assign,assignment]
        place.broker.rebalance.lost([A])
        return [received(4)]

    @place.consumer.subscribe("coupons", **SLOW)
    def coupons(session: Any) -> None:
        raise LookupError("not yet")

    place.broker.steps = [lambda: [received(4)], rebalance]
    place.consumer.run()
    assert place.broker.calls == [(A, 4), "close"]


@pytest.mark.parametrize("is_away", [False, True])
def test_what_was_not_delivered_of_a_batch_comes_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_away: bool
) -> None:
    faults: list[Exception] = [OSError("the partition could not be held")] * (2 if is_away else 1)
    seen: list[str] = []

    def hold(partition: Partition, offset: int) -> None:
        if faults:
            raise faults.pop()
        place.broker.calls.append((partition, offset))

    @place.consumer.subscribe("coupons", **QUICK)
    def coupons(session: Any, ctx: Any) -> None:
        seen.append(ctx.headers["from-place"])
        if len(seen) == 2:
            raise LookupError("not yet")

    monkeypatch.setattr(place.broker, "hold", hold)
    batch = [received(4), received(5), received(6), received(7, B), received(8, B)]
    place.broker.steps = [lambda: batch, lambda: batch[1:]]
    place.consumer.run()
    assert place.broker.calls == (["close"] if is_away else [(A, 5), (B, 7), A, B]) + ["close"]
    assert place.broker.joined == (2 if is_away else 1)
    assert seen == [f"coupons/0/{n}" for n in (4, 5, 5, 6)] + ["coupons/1/7", "coupons/1/8"]
    expected = [{A: 5}, {A: 7, B: 9}] if is_away else [{A: 7, B: 9}]
    assert place.broker.committed == expected


@pytest.mark.parametrize("is_async", [False, True])
def test_while_the_database_cannot_be_reached_no_attempt_is_spent(place: Place, tmp_path: Path, is_async: bool) -> None:
    home = tmp_path / "away"
    place.engine = create_engine(f"sqlite:///{home}/consumer.db?timeout=60")
    engine: Any = create_async_engine(f"sqlite+aiosqlite:///{home}/consumer.db") if is_async else place.engine
    place.consumer = place.made(engine)
    attempts: list[int] = []

    def function(session: Any, ctx: Any) -> None:
        attempts.append(ctx.attempt)

    async def coroutine(session: Any, ctx: Any) -> None:
        attempts.append(ctx.attempt)

    def opened() -> Sequence[Received]:
        home.mkdir()
        place.metadata.create_all(place.engine)
        return [received(4)]

    place.consumer.subscribe("coupons", name="coupons", **QUICK)(coroutine if is_async else function)
    place.broker.steps = [*[lambda: [received(4)]] * 5, opened]
    if is_async:
        asyncio.run(place.consumer.run_async())
    else:
        place.consumer.run()
    assert attempts == [1]
    assert len(place.told(StepFailed)) == 5
    assert place.told(AttemptFailed) == []
    assert place.letters() == []
    assert place.broker.committed == [{A: 5}]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_fails_after_a_commit_of_its_own_is_done_and_told_as_late(
    place: Place, tmp_path: Path, is_async: bool
) -> None:
    calls: list[int] = []
    place.outbox.message("thanks", topic="thanks")

    def function(session: Any, ctx: Any) -> None:
        calls.append(ctx.attempt)
        place.outbox.publish(session, "thanks", {})
        session.commit()
        raise LookupError("too late")

    async def coroutine(session: Any, ctx: Any) -> None:
        calls.append(ctx.attempt)
        place.outbox.publish(session, "thanks", {})
        await session.commit()
        raise LookupError("too late")

    engine: Any = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/consumer.db") if is_async else place.engine
    place.consumer = place.made(engine)
    place.consumer.subscribe("coupons", name="coupons", **QUICK)(coroutine if is_async else function)
    place.broker.steps = [lambda: [received(4)], lambda: [received(4)]]
    if is_async:
        asyncio.run(place.consumer.run_async())
    else:
        place.consumer.run()
    assert calls == [1]
    assert [letter.task_type for letter in place.letters()] == ["thanks"]
    (late,) = place.told(HandlerFailedLate)
    assert (late.task_type, str(late.error)) == ("coupons", "too late")
    assert place.told(AttemptFailed) == []
    assert place.broker.committed[0] == {A: 5}


@pytest.mark.parametrize("driver", ["mysql+pymysql", "postgresql+psycopg"])
def test_a_connection_that_is_refused_is_the_databases_trouble(place: Place, driver: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        engine = create_engine(f"{driver}://u:p@127.0.0.1:{closed.getsockname()[1]}/d")
        _require_trouble(place, engine)


def test_a_pool_that_has_no_connection_left_is_the_databases_trouble(place: Place, tmp_path: Path) -> None:
    engine = create_engine(
        f"sqlite:///{tmp_path}/consumer.db", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with engine.connect():
        _require_trouble(place, engine)


def _require_trouble(place: Place, engine: Engine) -> None:
    @place.consumer.subscribe("coupons")
    def coupons(session: Any) -> None: ...

    effects = Effects(engine, place.outbox, place.inbox)
    with pytest.raises(InboxAwayError) as told:
        effects.deliver(place.consumer.subscriptions[0], received(4), 1)
    assert effects.is_trouble(told.value)


def test_a_server_that_takes_no_writes_is_left_and_costs_no_attempt(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []
    opened: list[Any] = []
    event.listen(place.engine, "connect", lambda connection, _: opened.append(connection))
    monkeypatch.setattr(
        "asyncflow.outbox.dialects.sqlite.SQLite.is_elsewhere", lambda _, error: "read-only" in str(error.orig)
    )

    @place.consumer.subscribe("coupons", **{**QUICK, "max_retries": 0})
    def coupons(session: Any, ctx: Any) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) == 1:
            raise OperationalError("INSERT", {}, Exception("read-only"))

    place.broker.steps = [lambda: [received(4)]] * 2
    place.engine.dispose()
    place.consumer.run()
    assert attempts == [1, 1]
    assert place.told(AttemptFailed) == []
    assert len(opened) > 1
    assert place.letters() == []


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_message_id_that_cannot_be_kept_is_replaced_by_the_messages_place(place: Place, is_broken: bool) -> None:
    seen: list[str] = []

    @place.consumer.subscribe("coupons", **{**QUICK, "max_retries": 0})
    def coupons(session: Any, ctx: Any) -> None:
        seen.append(ctx.headers["from-message"])
        if is_broken:
            raise LookupError("never")

    odd = [b"x " * 200, b" padded ", b"a\nb"]
    batch = [received(n, message_id=value) for n, value in enumerate(odd)]
    place.broker.steps = [lambda: batch, lambda: batch]
    place.consumer.run()
    assert seen == [f"coupons/0/{n}/1700" for n in range(3)]
    assert len(place.letters()) == (3 if is_broken else 0)
    assert place.broker.committed[0] == {A: 3}


def test_the_place_in_a_topic_with_the_longest_name_can_be_kept() -> None:
    ids = {received(10**9, Partition("t" * 248 + end, 0)).id for end in "ab"}
    assert len(ids) == 2
    assert max(map(len, ids)) <= 255


def test_a_dead_letter_has_those_headers_that_fit_and_tells_which_did_not(place: Place) -> None:
    @place.consumer.subscribe("coupons", **{**QUICK, "max_retries": 0})
    def coupons(session: Any) -> None:
        raise LookupError("never")

    message = received(4, large=b"x" * 40 * 1024, tenant=b"acme", content_type=b"text/plain")
    odd = {"": b"1", "n" * 256: b"1", "a\nb": b"1"}
    deep = b"[" * 1000 + b"]" * 1000
    message = message._replace(headers={**message.headers, **odd}, value=b'{"deep":' + deep + b"}")
    place.broker.steps = [lambda: [message]]
    place.consumer.run()
    (letter,) = place.letters()
    assert orjson.loads(letter.headers) == {
        "from-message": "coupons/0/4/1700",
        "from-type": "coupons",
        "from-place": "coupons/0/4",
        "tenant": "acme",
    }
    assert "LookupError: never" in letter.schedule_log
    assert "left out, for a row cannot keep it: large, , nnn" in letter.schedule_log
    assert place.broker.committed == [{A: 5}]


def test_what_the_connection_would_alter_is_left_out_of_a_dead_letter(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncflow.outbox.dialects.sqlite.SQLite.text_fault", lambda *_: "it is latin1")

    @place.consumer.subscribe("coupons", **{**QUICK, "max_retries": 0})
    def coupons(session: Any) -> None:
        raise LookupError("never")

    message = received(4, message_id="é".encode(), tenant="é".encode(), other=b"plain")._replace(key="é".encode())
    place.broker.steps = [lambda: [message]] * 2
    place.consumer.run()
    (letter,) = place.letters()
    assert letter.task_key is None
    assert orjson.loads(letter.headers) == {"from-type": "coupons", "from-place": "coupons/0/4", "other": "plain"}
    assert "the key, from-message, tenant" in letter.schedule_log
    assert place.broker.committed[0] == {A: 5}


def test_a_subscriber_without_a_session_is_refused_also_where_handlers_need_none(place: Place) -> None:
    outbox = Outbox(MetaData(), transaction=lambda: place.engine.begin())
    consumer = Consumer(place.engine, outbox, place.inbox, "localhost:9092", group="g")

    def coupons(account_no: str) -> None: ...

    with pytest.raises(OptionError, match="has no parameter 'session'"):
        consumer.subscribe("coupons")(coupons)
    assert list(outbox.handler_types) == []
    assert consumer.subscriptions == []


def test_a_subscriber_without_a_name_is_asked_for_one_and_what_cannot_be_called_is_refused(place: Place) -> None:
    class Coupons:
        def __call__(self, session: Any) -> None: ...

    loose: Any = place.consumer.subscribe
    for nameless in (Coupons(), partial(Coupons()), lambda session: None):
        with pytest.raises(OptionError, match="has no name; give it one"):
            loose("coupons")(nameless)
    with pytest.raises(OptionError, match="give a function"):
        loose("coupons", name="three")(3)
    # On Python 3.10 it does not even tell what it has.
    with pytest.raises(OptionError, match=r"silent\(\) (has no parameter 'session'|does not tell its parameters)"):
        loose("coupons", name="silent")(partial(print))
    loose("coupons", name="called")(Coupons())
    assert [one.name for one in place.consumer.subscriptions] == ["called"]


def test_a_coroutine_that_exits_is_a_failed_attempt_and_ends_no_loop(place: Place, tmp_path: Path) -> None:
    consumer = place.made(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/consumer.db"))

    @consumer.subscribe("coupons", **{**QUICK, "max_retries": 1})
    async def coupons(session: Any, ctx: Any) -> None:
        if ctx.attempt == 1:
            sys.exit(3)
        raise asyncio.CancelledError

    place.broker.steps = [lambda: [received(4)]] * 2
    asyncio.run(consumer.run_async())
    assert [type(event.error) for event in place.told(AttemptFailed)] == [SystemExit, asyncio.CancelledError]
    assert len(place.letters()) == 1
    assert place.broker.committed == [{A: 5}]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_child_that_leaves_a_subscriber_ends(place: Place, tmp_path: Path, is_async: bool) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/consumer.db"
    consumer = place.made(create_async_engine(url)) if is_async else place.consumer
    codes: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            sys.exit(7)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def function(session: Any) -> None:
        fork()

    async def coroutine(session: Any) -> None:
        fork()

    consumer.subscribe("coupons", name="coupons")(coroutine if is_async else function)
    place.broker.steps = [lambda: [received(4)]]
    if is_async:
        asyncio.run(consumer.run_async())
    else:
        consumer.run()
    assert codes == [7]
    assert place.broker.committed == [{A: 5}]


@pytest.mark.parametrize("ending", ["rollback", "close", "commit"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_message_is_remembered_whose_subscriber_ended_the_transaction_itself(
    place: Place, tmp_path: Path, is_async: bool, ending: str
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/consumer.db"
    consumer = place.made(create_async_engine(url)) if is_async else place.consumer
    calls: list[str] = []

    def function(session: Any) -> None:
        calls.append(ending)
        getattr(session, ending)()

    async def coroutine(session: Any) -> None:
        calls.append(ending)
        await getattr(session, ending)()

    consumer.subscribe("coupons", name="coupons")(coroutine if is_async else function)
    place.broker.steps = [lambda: [received(4)]] * 2
    if is_async:
        asyncio.run(consumer.run_async())
    else:
        consumer.run()
    assert calls == [ending]
    assert place.broker.committed[-1] == {A: 5}
    assert place.told(AttemptFailed) == []


def consumed(place: Place, offset: int) -> list[Mapping[Partition, int]]:
    """Let the place's consumer take one message more, and stop; return what was committed."""
    place.broker.steps = [lambda: [received(offset)]]
    place.consumer.run()
    return place.broker.committed


def test_a_fork_leaves_a_consumer_that_was_begun_to_its_parent(place: Place) -> None:
    place.consumer.subscribe("coupons", name="coupons")(lambda session: None)
    is_polled, is_forked = threading.Event(), threading.Event()

    def polled() -> Sequence[Received]:
        is_polled.set()
        assert is_forked.wait(60)
        return [received(4)]

    def in_child() -> tuple[str, bool, bool, list[Any]]:
        refused = ""
        try:
            place.consumer.start()
        except ForkedError as error:
            refused = str(error)
        began = time.monotonic()
        return refused, place.consumer.stop(200.0), time.monotonic() - began < 100, place.broker.calls

    place.broker.steps = [polled]
    place.consumer.start()
    assert is_polled.wait(60)
    refused, is_clean, is_soon, calls = Child(in_child).result()
    assert f"started by process {os.getpid()}" in refused
    assert is_clean
    assert is_soon
    assert calls == []
    is_forked.set()
    assert place.consumer.wait(60)
    assert place.broker.committed == [{A: 5}]
    assert place.broker.calls == ["close"]


def test_a_consumer_that_was_not_begun_consumes_in_each_child_of_a_fork(place: Place) -> None:
    place.consumer.subscribe("coupons", name="coupons")(lambda session: None)
    assert Child(lambda: consumed(place, 4)).result() == [{A: 5}]
    assert Child(lambda: consumed(place, 5)).result() == [{A: 6}]
    assert consumed(place, 6) == [{A: 7}]


def test_stopping_a_consumer_that_was_not_begun_waits_for_nothing(place: Place) -> None:
    began = time.monotonic()
    assert place.consumer.stop(200.0)
    assert time.monotonic() - began < 100


def test_a_consumer_is_started_once(place: Place) -> None:
    place.consumer.subscribe("coupons", name="coupons")(lambda session: None)
    place.broker.steps = [lambda: [received(4)]]
    place.consumer.start()
    place.consumer.start()
    assert place.consumer.wait(60)
    assert place.broker.joined == 1


class EndedByItself:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: Any) -> None: ...

    def wait(self, timeout_seconds: float | None = None) -> bool:
        return True

    def stop(self, timeout_seconds: float | None = None) -> bool:
        return True


def test_the_command_of_what_ended_by_itself_ends_and_tells_that() -> None:
    assert run_until_stopped(EndedByItself(), StopSignals()) == 1


def test_stop_on_the_loop_that_awaits_the_run_does_not_wait_for_it(place: Place, tmp_path: Path) -> None:
    consumer = place.made(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/consumer.db"))
    answers: list[bool] = []

    @consumer.subscribe("coupons")
    async def coupons(session: Any) -> None:
        began = time.monotonic()
        answers.append(consumer.stop(200.0))
        assert time.monotonic() - began < 100

    async def run() -> None:
        await consumer.run_async()
        answers.append(consumer.stop())

    place.broker.steps = [lambda: [received(4)]]
    asyncio.run(run())
    assert answers == [False, True]
    assert place.broker.committed == [{A: 5}]
