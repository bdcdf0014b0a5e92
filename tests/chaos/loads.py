"""A bank under load whose schedulers stand behind something that can be hurt, and the account at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tests.chaos.cluster_run import ClusterRun
from tests.chaos.findings import Tell
from tests.chaos.oracle import Verdict

_BREATH_SECONDS = 0.03
_UNKNOWN_CONNECTION = 1094


def as_text(url: URL) -> str:
    """Return a URL as a plan takes it."""
    return url.render_as_string(hide_password=False)


def begin(run: ClusterRun, instances: int = 2, url: URL | None = None, **options: Any) -> None:
    """Start schedulers, on the database or at an address that leads there, and writers on the database itself."""
    if url is not None:
        options["database_url"] = as_text(url)
    run.start_cluster(instances, **options)
    run.start_writers(threads=4, breath_seconds=_BREATH_SECONDS)


def end(run: ClusterRun, finding: Tell, *, settled_within_seconds: float = 120.0) -> Verdict:
    """Let everything end in good order; tell and return the verdict."""
    run.dismiss_writers()
    run.settle_all(settled_within_seconds)
    run.stop_all()
    verdict = run.verdict()
    finding(verdict)
    finding(verdict.as_json())
    return verdict


def watch(run: ClusterRun, seconds: float) -> None:
    """Let the load go on for a while; none of the schedulers may end meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        run.schedulers[0].wait_for_next_event(min(left, 0.5))
        assert all(scheduler.ended_at is None for scheduler in run.schedulers), "a scheduler ended by itself"


def moved_while(run: ClusterRun, work: Callable[[], None]) -> tuple[int, int]:
    """Do some work; return how many moves were committed meanwhile, and how many messages were settled."""
    committed, unsettled = len(run.bank.committed()), run.bank.unsettled()
    work()
    written = len(run.bank.committed()) - committed
    return written, written - (run.bank.unsettled() - unsettled)


def end_connections(engine: Engine) -> int:
    """End every connection to the engine's database but the one that asks; return how many that were."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            return len(connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}")).all())
        return sum(_kill(connection, number) for number in _others(connection))


def _others(connection: Connection) -> list[int]:
    wanted = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    return list(connection.execute(text(wanted)).scalars())


def _kill(connection: Connection, number: int) -> int:
    try:
        connection.execute(text(f"KILL {number}"))
    except DBAPIError as error:
        if error.orig is not None and error.orig.args[0] == _UNKNOWN_CONNECTION:  # it ended a moment before
            return 0
        raise
    return 1
