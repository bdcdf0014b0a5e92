"""What became of a task, for those who enqueued it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, Row, Table
from sqlalchemy.orm import Session

from asyncflow.errors import ConnectionSilentError, OptionError, WrongTargetError
from asyncflow.outbox import queries
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import Limits
from asyncflow.outbox.options import require_seconds
from asyncflow.outbox.rolling.shelf import Shelf
from asyncflow.outbox.status import UNSETTLED, Status
from asyncflow.outbox.tables import RESULT_STAGE
from asyncflow.outbox.transaction.reading import reader_of, reading
from asyncflow.outbox.transaction.target import async_session_of, is_async
from asyncflow.text import shown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


@dataclass(frozen=True, slots=True)
class Pending:
    """Tell that a task waits, or is at work."""

    status: Status


@dataclass(frozen=True, slots=True)
class Done:
    """Tell that a task is done; ``value`` is what its handler returned, None where its type keeps no result."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Tell that a task is FAILED or CANCELLED; ``error`` is the last line of its log."""

    error: str
    status: Status


@dataclass(frozen=True, slots=True)
class Gone:
    """Tell that there is no such row: it was deleted after its retention, or its transaction has not committed."""


TaskOutcome = Pending | Done | Failed | Gone


class Results:
    """Read what became of tasks; has no state, any thread uses it."""

    def __init__(self, shelf: Shelf, contexts: Table, types: Mapping[str, HandlerType]) -> None:
        self._shelf = shelf
        self._outcome = partial(queries.outcome, contexts=contexts)
        self._types = types

    def of(self, target: Session | Connection, task_id: UUID) -> TaskOutcome:
        """Read, on the caller's connection, what became of a task; raises WrongTargetError or OptionError."""
        _require_id(task_id)
        with reading(reader_of(target, "result"), self._shelf.tasks) as connection:
            rows = self._shelf.rows(connection, self._outcome, {"its_id": task_id})
            return self._of_row(rows[0] if rows else None)

    async def of_async(self, session: AsyncSession, task_id: UUID) -> TaskOutcome:
        """Do what ``of`` does, in an AsyncSession."""
        _require_id(task_id)
        if not is_async(session):
            raise WrongTargetError("only an AsyncSession is awaited; call outbox.result(session, id)")
        return await async_session_of(session).run_sync(lambda sync: self.of(sync, task_id))

    def wait(self, engine: Engine, task_id: UUID, timeout_seconds: float) -> TaskOutcome:
        """Ask again and again, each time in a transaction of its own, until the task waits no longer."""
        if not isinstance(engine, Engine):
            raise OptionError(f"engine is {shown(engine)}; give an Engine, for each look has a transaction of its own")
        time_left = _time_for(task_id, timeout_seconds)
        while True:
            silence: Exception | None = None
            try:
                with connected(engine, time_left.limits) as connection:
                    found = self.of(connection, task_id)
                if not isinstance(found, Pending):
                    return found
            except ConnectionSilentError as error:
                silence = error
            if time_left.is_over:
                raise time_left.late(task_id, silence)
            time.sleep(time_left.next_pause())

    async def wait_async(self, engine: AsyncEngine, task_id: UUID, timeout_seconds: float) -> TaskOutcome:
        """Do what ``wait`` does, with an AsyncEngine."""
        if type(engine).__name__ != "AsyncEngine":
            raise OptionError(f"engine is {shown(engine)}; give an AsyncEngine, or call outbox.wait_result(engine, id)")
        time_left = _time_for(task_id, timeout_seconds)
        while True:
            silence: Exception | None = None
            try:
                found = await asyncio.wait_for(self._look(engine, task_id), time_left.limits.silence_seconds)
                if not isinstance(found, Pending):
                    return found
            except asyncio.TimeoutError as error:
                silence = error
            if time_left.is_over:
                raise time_left.late(task_id, silence)
            await asyncio.sleep(time_left.next_pause())

    async def _look(self, engine: AsyncEngine, task_id: UUID) -> TaskOutcome:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: self.of(sync, task_id))

    def _of_row(self, row: Row[Any] | None) -> TaskOutcome:
        if row is None:
            return Gone()
        status = Status(row.status)
        if status in UNSETTLED:
            return Pending(status)
        if status is not Status.SUCCESS:
            return Failed((row.schedule_log or "").partition("\n")[0], status)
        if row.stage != RESULT_STAGE or row.context is None:  # None: a hand has deleted it
            return Done()
        return Done(self.value_of(row.task_type, row.context))

    def value_of(self, task_type: str, text: str) -> Any:
        """Return what a handler returned, of what is kept of it; raises ValueError or TypeError."""
        value, kind = orjson.loads(text), self._types.get(task_type)
        signature = None if kind is None else kind.signature
        return value if signature is None else signature.revived_result(value)


class _TimeLeft:
    """Tell one who asks again and again how long to pause: each time twice as long, up to a second.

    Used by the thread, or on the loop, that asks.
    """

    def __init__(self, seconds: float) -> None:
        self.limits = Limits.within(seconds)  # of one look, which is not made beyond the time but may last longer
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def next_pause(self) -> float:
        """Return the pause before the next look, which is the last one where the time is over then."""
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return max(0.0, min(pause, self._until - time.monotonic()))

    def late(self, task_id: UUID, silence: Exception | None) -> TimeoutError:
        """Return what to raise when the time is over; ``silence`` is what became of the last look, if nothing did."""
        text = f"task {task_id} is not done after {self._seconds:g} s; look later, or see what holds it up"
        if silence is not None:
            text = f"the database did not say within {self._seconds:g} s whether task {task_id} is done; look later"
        late = TimeoutError(text)
        late.__cause__ = silence
        return late


def _time_for(task_id: Any, timeout_seconds: Any) -> _TimeLeft:
    _require_id(task_id)
    require_seconds("timeout_seconds", timeout_seconds, 0)
    return _TimeLeft(timeout_seconds)


def _require_id(task_id: Any) -> None:
    if not isinstance(task_id, UUID):
        raise OptionError(f"task_id is {shown(task_id)}; give the UUID that enqueue() returned")
