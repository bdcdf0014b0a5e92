"""What a server, a role or an address limits for all its sessions, however short, hides no lock and ends no loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select, text

from asyncflow import Call, Scheduler
from asyncflow.events import StepFailed
from asyncflow.scheduler.connections.database import Database
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.relay.test_locked_rows import locked, settled
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application
from tests.support.databases import kind_of
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
OPTIONS: dict[str, Any] = {"heartbeat_seconds": 0.5, "tick": 0.2}
# Less than a lock is waited for.
SHORT_STATEMENTS: dict[str, dict[str, Any]] = {
    "mariadb": {"init_command": "SET SESSION max_statement_time = 0.5"},
    "mysql": {"init_command": "SET SESSION max_execution_time = 500"},
    "postgresql": {"options": "-c statement_timeout=500"},
}
SHORT_IDLING: dict[str, dict[str, Any]] = {
    "mysql": {"init_command": "SET SESSION wait_timeout = 1"},
    "postgresql": {"options": "-c idle_session_timeout=1000"},
}
SESSIONS = {
    "mysql": "SELECT id FROM information_schema.processlist WHERE id = {}",
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE pid = {}",
}
OWN_SESSION = {"mysql": "SELECT CONNECTION_ID()", "postgresql": "SELECT pg_backend_pid()"}


@pytest.fixture
def hasty(request: pytest.FixtureRequest, application: Application) -> Iterator[Engine]:
    """Give an engine on the application's database whose sessions are limited."""
    limits = request.param.get(kind_of(application.engine)) or request.param["mysql"]
    engine = create_engine(application.engine.url, connect_args=limits, pool_size=20, max_overflow=20)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("hasty", [SHORT_STATEMENTS], indirect=True)
def test_a_locked_row_waits_alone_though_statements_may_take_less_than_a_lock_is_waited_for(
    application: Application, hasty: Engine
) -> None:
    application.outbox.task("nothing", concurrency=4)(lambda: None)
    ids = publish_many(application, 100)
    with application.engine.begin() as connection:
        more = application.outbox.enqueue_many(connection, "nothing", [Call({})] * 100)
    t = application.outbox.tasks.c
    its = (hasty, application.outbox, {"kafka": MemoryPublisher()})
    with ExitStack() as locks:
        # Before anybody could settle them.
        locks.enter_context(locked(application.engine, select(t.id).where(t.id.in_([ids[7], more[7]]))))
        with Scheduler(*its, hooks=[application.signals], **OPTIONS):
            eventually(lambda: settled(application, 198))
            publish_many(application, 100)
            eventually(lambda: settled(application, 298))
            locks.close()
            eventually(lambda: settled(application, 300))
    assert application.signals.of(StepFailed) == []


@pytest.mark.parametrize("hasty", [SHORT_IDLING], indirect=True)
def test_a_connection_that_is_kept_outlasts_sessions_that_idle(application: Application, hasty: Engine) -> None:
    name = hasty.dialect.name.replace("mariadb", "mysql")
    with Database(hasty) as database:
        own = database.run(lambda connection: connection.execute(text(OWN_SESSION[name])).scalar())
        with hasty.connect() as idler:
            other = idler.execute(text(OWN_SESSION[name])).scalar()
            idler.rollback()
            eventually(lambda: application.rows(text(SESSIONS[name].format(other))) == [])
            idler.invalidate()
        assert database.run(lambda connection: connection.execute(text(OWN_SESSION[name])).scalar()) == own
