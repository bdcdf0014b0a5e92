"""Turns: the times by which the tasks of ordered types go. The database draws them, and they never step back.

A turn is a number of the database's own counter, and reads as a time: microseconds since 1970. The counter catches up
with the database's clock where it has fallen behind, and is never set back: if the clock is, turns go on from the
latest one, ahead of the clock. So what is enqueued later has the later turn, whatever the clock does.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from sqlalchemy import Connection, Table

from asyncflow.outbox.dialects import dialect_of

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_BEHIND_MICROSECONDS = 2_000_000


def draw(connection: Connection, turns: Table) -> datetime:
    """Draw the next turn, in the caller's transaction; a rollback leaves a gap.

    This process's clock tells only whether it is worth a statement to let the counter catch up.
    """
    dialect = dialect_of(connection.dialect.name)
    number = dialect.draw(connection, turns)
    if time.time() * 1e6 - number > _BEHIND_MICROSECONDS:
        dialect.catch_up(connection, turns)
        number = dialect.draw(connection, turns)
    return _EPOCH + timedelta(microseconds=number)
