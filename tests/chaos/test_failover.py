"""The database fails over under load, or takes no writes for a while: nothing is lost, and work goes on soon after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text

from tests.chaos.bank import Bank
from tests.chaos.cluster_run import ClusterRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, plan_of
from tests.chaos.private_server import PrivateServer, private_server
from tests.support.lateness import Lateness
from tests.support.proxy import proxy_to
from tools.services.mariadb import MariaDB
from tools.services.postgresql import PostgreSQL
from tools.services.process import wait_until

pytestmark = pytest.mark.alone  # how soon it goes on
LEASE_SECONDS = 3.0
SLACK_SECONDS = 5.0
_LONG = 120.0
# Who may not write past read_only, as applications may not.
_USER, _PASSWORD = "plain", "plain-secret"


@in_short_and_long
def test_a_failover_to_a_replica_loses_nothing(
    request: pytest.FixtureRequest, form: str, topic: str, finding: Tell
) -> None:
    with (
        private_server(MariaDB(), options=_replicated(1)) as old,
        private_server(MariaDB(), options=_replicated(2)) as new,
    ):
        for server in (old, new):
            _run(server, f"CREATE USER {_USER} IDENTIFIED BY '{_PASSWORD}'", f"GRANT ALL ON `%`.* TO {_USER}")
        _follow(old, new)
        with proxy_to(_plain(old)) as (proxy, url):
            bank = Bank(create_engine(url, poolclass=NullPool), topic)
            bank.create_tables()
            with closing(ClusterRun(request.node.name, bank, _plan(bank, topic))) as run:
                run.start_cluster(2)
                run.start_writers(breath_seconds=0.03)
                _watch(run, _seconds(form))
                _run(old, "SET GLOBAL read_only = 1")
                _promote(old, new)
                assert _plain(new).port is not None
                proxy.switch_to(("127.0.0.1", _plain(new).port or 0))
                switched_at = time.monotonic()
                run.start_writers(breath_seconds=0.03)  # the others' connections stay on the old server
                recovered, late = _seconds_until_settled(run, switched_at)
                _watch(run, _seconds(form))
                _end(run, finding, recovered, late)
            bank.engine.dispose()


@in_short_and_long
def test_a_server_that_takes_no_writes_for_a_while_loses_nothing(
    request: pytest.FixtureRequest, form: str, topic: str, finding: Tell
) -> None:
    with private_server(PostgreSQL()) as server:
        bank = Bank(create_engine(server.url, poolclass=NullPool), topic)
        bank.create_tables()
        with closing(ClusterRun(request.node.name, bank, _plan(bank, topic))) as run:
            run.start_cluster(2)
            run.start_writers(breath_seconds=0.03)
            _watch(run, _seconds(form))
            _run(server, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
            _watch(run, _seconds(form))
            _wait(run, lambda: any(one.of("step failed") for one in run.schedulers), _LONG)
            assert any(one.of("step failed") for one in run.schedulers)
            _run(
                server,
                "SET default_transaction_read_only = off",
                "ALTER SYSTEM RESET default_transaction_read_only",
                "SELECT pg_reload_conf()",
            )
            recovered, late = _seconds_until_settled(run, time.monotonic())
            _watch(run, _seconds(form))
            _end(run, finding, recovered, late)
        bank.engine.dispose()


def _plan(bank: Bank, topic: str) -> Any:
    return plan_of(bank, topic, "confluent-kafka", application="bank", lease_seconds=LEASE_SECONDS)


def _seconds(form: str) -> float:
    return 30.0 if form == "long" else 3.0


def _replicated(number: int) -> list[str]:
    return ["--log-bin=binlog", "--binlog-format=ROW", f"--server-id={number}", "--log-slave-updates"]


def _plain(server: PrivateServer) -> URL:
    return make_url(server.url).set(username=_USER, password=_PASSWORD)


@contextmanager
def _operator(server: PrivateServer) -> Iterator[Engine]:
    engine = create_engine(server.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def _run(server: PrivateServer, *statements: str) -> None:
    with _operator(server) as engine, engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _ask(server: PrivateServer, question: str) -> str:
    with _operator(server) as engine, engine.connect() as connection:
        return str(connection.execute(text(question)).scalar_one())


def _follow(old: PrivateServer, new: PrivateServer) -> None:
    """Let the new server replicate all that the old one writes from now on."""
    url = make_url(old.url)
    _run(
        new,
        f"SET GLOBAL gtid_slave_pos = '{_ask(old, 'SELECT @@gtid_binlog_pos')}'",
        f"CHANGE MASTER TO MASTER_HOST = '{url.host}', MASTER_PORT = {url.port}, MASTER_USER = '{url.username}', "
        f"MASTER_PASSWORD = '{url.password}', MASTER_USE_GTID = slave_pos",
        "START SLAVE",
        "SET GLOBAL read_only = 1",
    )


def _promote(old: PrivateServer, new: PrivateServer) -> None:
    """Let the new server take writes as soon as it has what the old one has."""
    wanted = _ask(old, "SELECT @@gtid_binlog_pos")
    assert wait_until(lambda: _ask(new, "SELECT @@gtid_slave_pos") == wanted, _LONG), "the replica is behind"
    _run(new, "STOP SLAVE", "SET GLOBAL read_only = 0")


def _watch(run: ClusterRun, seconds: float) -> None:
    """Let the load go on for a while; no scheduler may end meanwhile."""
    _wait(run, lambda: False, seconds)
    assert all(scheduler.ended_at is None for scheduler in run.schedulers)


def _seconds_until_settled(run: ClusterRun, since: float) -> tuple[float, float]:
    """Wait until each scheduler has settled something again; return how long the last one took, and how late it was
    for the machine's sake.
    """

    def firsts() -> list[float]:
        of_each = ([one["at"] for one in scheduler.of("settled") if one["at"] > since] for scheduler in run.schedulers)
        return [min(moments) for moments in of_each if moments]

    with Lateness(run.bank.engine) as machine:
        _wait(run, lambda: len(firsts()) == len(run.schedulers), _LONG)
    assert len(firsts()) == len(run.schedulers)
    return max(firsts()) - since, 4 * machine.worst


def _wait(run: ClusterRun, condition: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not condition():
        run.schedulers[0].wait_for_next_event(min(left, 0.5))


def _end(run: ClusterRun, finding: Tell, recovered: float, late: float) -> None:
    run.dismiss_writers()
    run.settle_all(_LONG)
    run.await_shares(2)
    run.stop_all()
    verdict = run.verdict(recovered)
    finding(verdict)
    finding(verdict.as_json())
    assert verdict.is_clean
    assert recovered < LEASE_SECONDS + SLACK_SECONDS + late
