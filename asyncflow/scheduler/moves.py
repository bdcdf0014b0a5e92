"""Whether an engine's server was left by the service it gave: a failover, seen by one who was refused a write.

Those who only read would be answered by the old server for ever.
"""

from __future__ import annotations

import time
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

_moved_at: WeakKeyDictionary[Engine, tuple[float, float]] = WeakKeyDictionary()


def note_move(engine: Engine) -> None:
    """Let every connection that was opened until now be left."""
    _moved_at[engine] = (time.monotonic(), time.time())


def has_moved_since(engine: Engine, taken_at: float) -> bool:
    """Tell whether a connection taken from the pool at this time, monotonic, may lead to a server that was left."""
    moved = _moved_at.get(engine)
    return moved is not None and taken_at <= moved[0]


def is_left(engine: Engine, connection: Connection) -> bool:
    """Tell whether a connection that the pool just gave was opened before the last move."""
    moved = _moved_at.get(engine)
    record = getattr(connection.connection, "_connection_record", None)  # nothing public tells its age
    if moved is None or record is None or getattr(record, "fresh", True):
        return False
    return bool(getattr(record, "starttime", moved[1] + 1) <= moved[1])
