"""A look at the engine's pool before the loops start: one that is too small would hold them all up, and say little."""

from __future__ import annotations

from sqlalchemy import Engine, QueuePool

from asyncflow.errors import OptionError
from asyncflow.outbox.dialects import dialect_of

_OF_A_LOOP = 2  # the second writer settles while there is a backlog
_HEARTBEAT, _CONFIGURATION, _FOR_MOMENTS = 1, 1, 1


def require_connections(engine: Engine, loops: int) -> None:
    """Raise OptionError if the pool has too few for ``loops`` that relay or handle, and for what runs beside them."""
    of_a_loop = (
        _OF_A_LOOP if dialect_of(engine.dialect.name).locks_rows else 1
    )  # where the database has one writer, so has each loop
    least = loops * of_a_loop + _HEARTBEAT + _CONFIGURATION + _FOR_MOMENTS
    most = _most_connections(engine)
    if most is not None and most < least:
        raise OptionError(
            f"the engine's pool gives at most {most} connection{'s' if most > 1 else ''}, and this scheduler works "
            f"with at least {least}; give it an engine of its own, or create_engine(..., pool_size={2 * least})"
        )


def _most_connections(engine: Engine) -> int | None:
    """Return how many the pool gives at once; None if it sets no bound, or is one that does not wait."""
    pool = engine.pool
    if not isinstance(pool, QueuePool) or pool.size() == 0:
        return None
    overflow: int = pool._max_overflow  # nothing public tells it
    return None if overflow < 0 else pool.size() + overflow
