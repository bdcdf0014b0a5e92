"""Whose event loop an AsyncEngine belongs to: its pool and its connections work on one alone.

Coroutine handlers run on a loop of ours. With an engine that the application's loop uses as well, statements would go
out on one loop and their answers be awaited on the other, and the application's own transactions would end in nothing.
"""

from __future__ import annotations

import asyncio
import gc
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, WeakSet, ref

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from asyncflow.errors import EventLoopError

_LOOP = "asyncflow.event_loop"  # in a connection's info: a weak reference to the loop that made it
_ours: WeakSet[AbstractEventLoop] = WeakSet()
_homes: WeakKeyDictionary[Any, ReferenceType[AbstractEventLoop]] = WeakKeyDictionary()


def let_give_way(loop: AbstractEventLoop) -> None:
    """Take ``loop`` for one of ours, which uses no pool that another loop uses."""
    _ours.add(loop)


def watch() -> None:
    """Learn from now on which loop uses which pool; a second call does nothing.

    All pools are listened to: which engine a coroutine will use, nothing tells before it does, and SQLAlchemy takes no
    listener on the class of those of AsyncEngines alone.
    """
    if not event.contains(QueuePool, "checkout", _checked_out):
        event.listen(QueuePool, "connect", _connected)
        event.listen(QueuePool, "checkout", _checked_out)


def require_loop(pool: Any, loop: AbstractEventLoop | None, whose: str = "scheduler") -> None:
    """Raise EventLoopError if another loop uses the pool, with None any at all; a loop that has ended uses none."""
    if _home_of(pool) not in (None, loop):
        raise EventLoopError(
            f"this AsyncEngine is used by another event loop of the process; start the {whose} on the loop that uses "
            f"it, or give it an engine of its own (create_async_engine)"
        )


def _connected(_: Any, record: Any) -> None:
    loop = running_loop()
    if loop is not None:
        record.info[_LOOP] = ref(loop)


def _checked_out(connection: Any, record: Any, proxy: Any) -> None:
    pool = proxy._pool
    loop = running_loop() if isinstance(pool, AsyncAdaptedQueuePool) else None
    if loop is None:
        return
    home = _home_of(pool)
    tag = record.info.get(_LOOP)
    if loop in _ours and home is not loop and (home is not None or (tag is None and _another_runs(loop))):
        _guard(pool)
        _give_back(record, proxy)
        raise _refusal()
    if home is not loop:
        _homes[pool] = ref(loop)
        _guard(pool)
    made_by = tag() if tag is not None else None
    is_foreign = made_by is not loop and (loop in _ours or made_by in _ours)
    if is_foreign:
        _replace(connection, record, proxy, made_by)


def _guard(pool: Any) -> None:
    """Refuse our loops at the pool's own door, before they wait there or take a connection from the others."""
    if "connect" not in vars(pool):
        pool.connect = partial(_connect, ref(pool), type(pool).connect)


def _connect(of: ReferenceType[Any], connect: Callable[[Any], Any]) -> Any:
    pool, loop = of(), running_loop()
    if loop is not None and loop in _ours and _home_of(pool) not in (None, loop):
        raise _refusal()
    return connect(pool)


def _give_back(record: Any, proxy: Any) -> None:
    """Put a connection back as it is: SQLAlchemy would close it, on a loop that it does not belong to."""
    proxy._connection_record = None
    record.checkin()


def _replace(connection: Any, record: Any, proxy: Any, made_by: AbstractEventLoop | None) -> None:
    """Let the pool make a connection on this loop in place of one from ours, or from a loop that has ended."""
    record.dbapi_connection = proxy.dbapi_connection = None
    terminate = getattr(getattr(connection, "driver_connection", None), "terminate", None)
    if made_by is not None and terminate is not None:
        with suppress(RuntimeError):  # the loop is closed, and its sockets with it
            made_by.call_soon_threadsafe(terminate)
    raise DisconnectionError("the connection belongs to another event loop")


def _home_of(pool: Any) -> AbstractEventLoop | None:
    """Return the loop that uses the pool; None if none does, or it is closed."""
    known = _homes.get(pool)
    loop = known() if known is not None else None
    return None if loop is None or loop.is_closed() else loop


def _another_runs(loop: AbstractEventLoop) -> bool:
    """Tell whether a loop that is not ours runs in this process; asked for a pool that is older than our watch."""
    # By their types: to ask a proxy what it is calls foreign code, such as that which a lazy object is to run later.
    loops = (one for one in gc.get_objects() if issubclass(type(one), AbstractEventLoop))
    return any(one.is_running() for one in loops if one is not loop and one not in _ours)


def running_loop() -> AbstractEventLoop | None:
    """Return the loop of this thread; None if none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _refusal() -> EventLoopError:
    return EventLoopError(
        "this AsyncEngine is used by another event loop of the process; coroutine handlers run on one of asyncflow's "
        "own: run an AsyncScheduler on the application's loop, give them an engine of their own (create_async_engine), "
        "make the handler a function, or run the scheduler in a process of its own (asyncflow run)"
    )
