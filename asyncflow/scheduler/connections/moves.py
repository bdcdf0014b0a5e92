"""Whether an engine's server was left by the service it gave: a failover, seen by one who was refused a write.

Those who only read would be answered by the old server for ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import LIMITS

_LONGEST_KEPT_SECONDS = 600.0  # by a pool that is used at all
_MOST_POOLED = 64  # connections that a pool is asked for until it gives one of now
moved_at: WeakKeyDictionary[Engine, tuple[float, float]] = WeakKeyDictionary()  # monotonic, and time.time()


def note_move(engine: Engine) -> None:
    """Let every connection that was opened until now be left."""
    moved_at[engine] = (time.monotonic(), time.time())


def has_moved_since(engine: Engine, taken_at: float) -> bool:
    """Tell whether a connection taken from the pool at this time, monotonic, may lead to a server that was left."""
    moved = moved_at.get(engine)
    return moved is not None and taken_at <= moved[0]


def is_left(engine: Engine, connection: Connection, asked_at: float) -> bool:
    """Tell whether a connection that the pool gave was opened before the last move; ``asked_at`` is in time.time()."""
    moved = moved_at.get(engine)
    record = getattr(connection.connection, "_connection_record", None)  # nothing public tells its age
    opened_at = getattr(record, "starttime", None)
    if moved is None or opened_at is None:
        return False
    # A new one is none of those, whatever was done to the clock since.
    return bool(opened_at <= moved[1] and opened_at < asked_at)


def end_left_ones(engine: Engine) -> None:
    """End what the pool holds of a server that was left a while ago, until it gives one of now."""
    moved = moved_at.get(engine)
    if moved is None or time.monotonic() > moved[0] + _LONGEST_KEPT_SECONDS:
        return
    for _ in range(_MOST_POOLED):
        asked_at = time.time()
        with connected(engine, LIMITS) as connection:
            if not is_left(engine, connection, asked_at):
                return
            connection.invalidate()


@contextmanager
def leaving(session: Session, engine: Engine) -> Iterator[None]:
    """Leave the session's server if the block, which is the user's code, fails for being there."""
    try:
        yield
    except Exception as error:
        if is_elsewhere(error, engine):
            note_move(engine)
            session.invalidate()
        raise


def is_elsewhere(error: BaseException | None, engine: Engine) -> bool:
    """Tell whether an error, or one that it was raised for, is that of a server that was left."""
    dialect, seen = dialect_of(engine.dialect.name), set[int]()
    while error is not None and id(error) not in seen:
        if isinstance(error, DBAPIError) and dialect.is_elsewhere(error):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
