"""Work on a connection, made again when that is lost, unless a person waits: nobody knows whether a COMMIT happened."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.lines.limits import OF_A_COMMAND
from asyncflow.outbox.lines.lost import is_lost
from asyncflow.scheduler.connections.database import Database

T = TypeVar("T")
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.05  # after the first; doubles


def run_again(
    database: Database, work: Callable[[Connection], T], when_locked: Callable[[Connection], T] | None = None
) -> T:
    """Run ``work``, which may take effect twice without harm; again if the connection is lost, a few times.

    ``when_locked`` is run in its place after a lock was waited for too long. Raises what the last attempt raises.
    """
    return _run(database, work, None, when_locked)


def run_briefly(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run ``work`` as ``run_again`` does, on a connection for the moment; any thread may call."""
    with Database(engine) as database:
        return run_again(database, work)


def run_for_person(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run ``work``, which may read much, on a connection for the moment, with a command's patience; not again.

    A person waits for it, who sees its error and may ask again.
    """
    with Database(engine, limits=OF_A_COMMAND) as database:
        return database.run(work)


def run_once(
    database: Database,
    work: Callable[[Connection], T],
    trace: Callable[[Connection], T | None],
    when_locked: Callable[[Connection], T] | None = None,
) -> T:
    """Run ``work`` so that it takes effect once: after a lost connection, again only if it left no ``trace``.

    ``trace`` looks for what an earlier attempt has written, in a transaction of its own, and returns what that
    returned, None if nothing of it is there. ``when_locked`` as above. Raises what the last attempt raises.
    """
    return _run(database, work, trace, when_locked)


def insist(step: Callable[[], None]) -> None:
    """Call a last ``step`` again if it fails, a few times: nobody calls it later. Raises what the last call raises."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return step()
        except Exception:  # noqa: BLE001 - the last call raises
            time.sleep(_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))
    return step()


def _run(
    database: Database,
    work: Callable[[Connection], T],
    trace: Callable[[Connection], T | None] | None,
    when_locked: Callable[[Connection], T] | None,
) -> T:
    for attempt in range(_ATTEMPTS):
        try:
            if attempt:
                time.sleep(_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))
                # Not in one transaction with the work, which locks rows in an order of its own.
                if trace is not None and (found := database.run(trace)) is not None:
                    return found
            return database.run(work, when_locked)
        except Exception as error:
            if attempt == _ATTEMPTS - 1 or not _is_lost(database, error):
                raise
    raise AssertionError("unreachable")


def _is_lost(database: Database, error: Exception) -> bool:
    """Tell whether the connection was lost; a driver's own error comes from setting its session up."""
    if isinstance(error, DBAPIError):
        return is_lost(error, database.dialect)
    driver = database.engine.dialect.dbapi
    # Of a reset while it reads pg8000 lets the system's own error through.
    return isinstance(error, OSError) or (driver is not None and isinstance(error, driver.Error))
