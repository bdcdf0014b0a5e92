"""After a drain the pool has all its connections, and their sessions are as the application knows them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.writing import FAR, publish_many
from tests.support.application import Application
from tests.support.databases import open_engine

WAITS = {
    "mysql": "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout, @@autocommit",
    "postgresql": "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')",
    "sqlite": "PRAGMA busy_timeout",
}


class Interrupted(BaseException):
    """What ends a drain in its midst."""


@contextmanager
def counted(engine: Engine) -> Iterator[set[Any]]:
    """Give the connections that are out of the pool."""
    out = set[Any]()

    def taken(connection: Any, record: Any, proxy: Any) -> None:
        out.add(record)

    def returned(connection: Any, record: Any) -> None:
        out.discard(record)

    listeners = (("checkout", taken), ("checkin", returned))
    for name, listener in listeners:
        event.listen(engine, name, listener)
    yield out
    for name, listener in listeners:
        event.remove(engine, name, listener)


@pytest.mark.parametrize("interrupted", [False, True], ids=["to its end", "interrupted"])
def test_a_drain_leaves_all_connections_in_the_pool_as_they_were(application: Application, interrupted: bool) -> None:
    application.engine = open_engine(application.engine.url)
    fresh = sessions(application.engine)
    application.outbox.task("nothing", max_retries=0, **FAR)(lambda: None)

    class Publisher(MemoryPublisher):
        def publish(self, records: Any) -> Any:
            if interrupted:
                raise Interrupted
            return super().publish(records)

    publish_many(application, 3)
    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, "nothing")
    with counted(application.engine) as out:
        for _ in range(2):
            scheduler = application.scheduler(Publisher())
            if interrupted:
                with pytest.raises(Interrupted):
                    scheduler.drain()
            else:
                scheduler.drain(raise_errors=True)
            assert out == set()
            del scheduler
            gc.collect()
    assert sessions(application.engine) == fresh
    application.engine.dispose()


def sessions(engine: Engine) -> set[Any]:
    """Return how each of some connections waits."""
    with ExitStack() as stack:
        connections = [stack.enter_context(engine.connect()) for _ in range(5)]
        return {tuple(one.execute(text(WAITS[engine.dialect.name])).one()) for one in connections}
