"""Whether a statement waits for a lock, asked of the server."""

from __future__ import annotations

from sqlalchemy import Engine, text

from tests.support.databases import kind_of

_WAITING = {
    # InnoDB's own tables of waits are cached for longer than a test polls them.
    "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() "
    "AND command = 'Query' AND id <> CONNECTION_ID() AND time_ms > 50",
    # Its list of processes counts whole seconds, in which a wait may be over.
    "mysql": "SELECT count(*) FROM performance_schema.data_lock_waits AS w JOIN performance_schema.threads AS t "
    "ON t.thread_id = w.requesting_thread_id WHERE t.processlist_db = DATABASE()",
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock'",
}


def somebody_waits(engine: Engine) -> bool:
    """Tell whether another connection to the same database is waiting."""
    with engine.connect() as connection:
        return bool(connection.execute(text(_WAITING[kind_of(engine)])).scalar_one())
