"""What becomes of tasks that are held under a lock for their type, as the original asyncflow does, and of claims.

Two things fail there: one who stops past the lock's expiry works on what others hold by then, and while one is slow
under the lock nobody gets anything.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, event, select, update

from asyncflow import Call, Status
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims
from tests.support.application import Application
from tests.support.databases import open_engine
from tests.support.redis_registry import redis_at
from tests.unit.scheduler.waiting import eventually

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True),
]

TYPE = "send_mail"
HELD_AT_ONCE = 2
EXPIRES_SECONDS = 1.0
WAITS_SECONDS = 1.0  # the original's: 5


class LockOfTheOriginalsKind:
    """Set a key for some seconds, and again and again while it is held; delete it, if it is one's own."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key
        self._holder = uuid.uuid4().hex
        self._is_over = threading.Event()

    def acquire(self) -> bool:
        deadline = time.monotonic() + WAITS_SECONDS
        milliseconds = int(EXPIRES_SECONDS * 1000)
        while not self._client.set(self._key, self._holder, nx=True, px=milliseconds):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        self._is_over.clear()
        threading.Thread(target=self._watch, args=(milliseconds,), daemon=True).start()
        return True

    def release(self) -> None:
        self.stop_with_its_process()
        if self._client.get(self._key) == self._holder.encode():
            self._client.delete(self._key)

    def stop_with_its_process(self) -> None:
        """Renew no more, as a process that is stopped renews nothing."""
        self._is_over.set()

    def _watch(self, milliseconds: int) -> None:
        while not self._is_over.wait(EXPIRES_SECONDS / 3):
            self._client.pexpire(self._key, milliseconds)


class OriginalWorker:
    """Hold tasks as the original does: read those that wait, and mark them by their ids, under the type's lock."""

    def __init__(self, application: Application, lock: LockOfTheOriginalsKind) -> None:
        self._engine = application.engine
        self._tasks = application.outbox.tasks
        self.lock = lock

    def hold(self, in_between: Callable[[], None] = lambda: None) -> list[Any]:
        if not self.lock.acquire():
            return []
        t = self._tasks.c
        with self._engine.begin() as connection:
            waiting = select(t.id).where(t.status == Status.PENDING).order_by(t.id).limit(HELD_AT_ONCE)
            ids = list(connection.scalars(waiting))
        in_between()
        with self._engine.begin() as connection:
            connection.execute(update(self._tasks).where(t.id.in_(ids)).values(status=Status.PROCESSING))
        self.lock.release()
        return ids


@pytest.fixture
def application(engine: Engine) -> Application:
    application = Application(engine)

    @application.outbox.task(TYPE)
    def send_mail(number: int) -> None: ...

    with application.session() as session, session.begin():
        application.outbox.enqueue_many(session, TYPE, [Call({"number": number}) for number in range(6)])
    return application


@pytest.fixture
def originals(application: Application) -> Iterator[Callable[[], OriginalWorker]]:
    key = f"asyncflow-test-{uuid.uuid4().hex}"
    with redis.Redis.from_url(redis_at()) as client:
        yield lambda: OriginalWorker(application, LockOfTheOriginalsKind(client, key))
        client.delete(key)


class Claimer:
    """Claim tasks as a task service does; no two know of each other but by the database."""

    def __init__(self, application: Application, engine: Engine) -> None:
        self.engine = engine
        self._claims = ServiceClaims(application.outbox, engine, deletes=False)

    def hold(self) -> list[Any]:
        with self.engine.begin() as connection:
            held = self._claims.hold(connection, "worker", {TYPE: HELD_AT_ONCE}, 600)
            return [claim.task.id for claim in held]


@contextmanager
def stopped_before_its_update(claimer: Claimer) -> Iterator[list[Any]]:
    """Let one hold come to its UPDATE and stop there, and go on at the end; give what it held then."""
    reached, go_on, held = threading.Event(), threading.Event(), list[Any]()

    def stop(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith("UPDATE") and not reached.is_set():
            reached.set()
            go_on.wait(120)

    event.listen(claimer.engine, "before_cursor_execute", stop)
    thread = threading.Thread(target=lambda: held.extend(claimer.hold()))
    thread.start()
    assert reached.wait(120)
    try:
        yield held
    finally:
        go_on.set()
        thread.join(120)


@pytest.fixture
def claimers(application: Application, engine: Engine) -> Iterator[list[Claimer]]:
    engines = [open_engine(engine.url) for _ in range(3)]
    yield [Claimer(application, one) for one in engines]
    for one in engines:
        one.dispose()


# -- one who stops for longer than the lock lasts --------------------------------------------------------


def test_under_a_lock_two_hold_the_same_tasks_when_the_first_stops_past_its_expiry(
    originals: Callable[[], OriginalWorker],
) -> None:
    first, second = originals(), originals()
    taken: list[Any] = []

    def stop() -> None:
        first.lock.stop_with_its_process()

        def has_some() -> bool:
            taken.extend(second.hold())
            return bool(taken)

        eventually(has_some)

    held = first.hold(in_between=stop)
    assert held == taken
    assert len(held) == HELD_AT_ONCE


def test_of_claims_no_two_hold_the_same_tasks_when_the_first_stops_before_it_writes(claimers: list[Claimer]) -> None:
    first, second, third = claimers
    with stopped_before_its_update(first) as held:
        taken = second.hold()
    assert len(taken) == HELD_AT_ONCE
    assert set(held).isdisjoint(taken)
    rest = [*held, *taken, *third.hold(), *third.hold()]
    assert len(set(rest)) == len(rest) == 6


# -- one who is slow -------------------------------------------------------------------------------------


def test_under_a_lock_nobody_gets_anything_while_one_is_slow(originals: Callable[[], OriginalWorker]) -> None:
    slow, others = originals(), [originals() for _ in range(2)]
    got: list[list[Any]] = []
    held = slow.hold(in_between=lambda: got.extend(other.hold() for other in others))
    assert got == [[], []]
    assert len(held) == HELD_AT_ONCE


def test_of_claims_others_get_theirs_while_one_is_slow(claimers: list[Claimer]) -> None:
    slow, *others = claimers
    with stopped_before_its_update(slow):
        got = [other.hold() for other in others]
    assert [len(ids) for ids in got] == [HELD_AT_ONCE] * 2
    assert set(got[0]).isdisjoint(got[1])
