"""A server that takes the call and says nothing: whoever begins is told of it, and does not wait for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, MetaData, create_engine, text

from asyncflow import Outbox, Scheduler, cli
from asyncflow.errors import ConnectionSilentError
from asyncflow.integrations.flowsvr import make_app
from asyncflow.outbox.lines import line
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import Limits
from asyncflow.scheduler.cluster.resharding.reshard import reshard
from asyncflow.scheduler.cluster.shard_count import recorded_shard_count, require_shard_count
from asyncflow.scheduler.configuration.configurations import Configurations
from asyncflow.scheduler.operator.audit import Audit
from asyncflow.scheduler.operator.dead_letters import DeadLetters
from asyncflow.scheduler.operator.report import report
from asyncflow.scheduler.table.table_check import require_tables
from asyncflow.testing import MemoryPublisher
from tests.integration.integrations.flowsvr.conftest import TOKENS
from tests.support.application import Application
from tests.support.proxy import proxy_to
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
LIMIT_SECONDS = 150.0


@pytest.fixture(autouse=True)
def patient() -> None:
    """Let the limits be what they are."""


def starts(url: str) -> dict[str, Callable[[], object]]:
    """Return what may be the first to meet the database, each with an engine of its own."""

    def engine() -> Engine:
        return create_engine(url)

    def scheduler() -> Scheduler:
        outbox = Outbox(MetaData())
        outbox.message("user.registered")
        return Scheduler(engine(), outbox, {"kafka": MemoryPublisher()})

    def within() -> None:
        with scheduler():
            pass

    outbox = Outbox(MetaData())
    return {
        "start": lambda: scheduler().start(),
        "with": within,
        "drain": lambda: scheduler().drain(),
        "configuration": lambda: scheduler().types.read(),
        "report": lambda: report(engine(), outbox),
        "reshard": lambda: reshard(engine(), outbox),
        "tables": lambda: require_tables(engine(), outbox),
        "shard count": lambda: require_shard_count(engine(), outbox),
        "recorded shard count": lambda: recorded_shard_count(engine(), outbox),
        "readiness": lambda: make_app(engine(), outbox, TOKENS).state.service.database.require(),
        "dead letters": lambda: DeadLetters(engine(), outbox).list(),
        "configurations": lambda: Configurations(engine(), outbox).all(),
        "audit": lambda: Audit(engine(), outbox).entries(),
    }


def test_whoever_begins_is_told_of_a_server_that_says_nothing(
    application: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    with proxy_to(application.engine.url) as (proxy, url):
        proxy.stall()
        whole = url.render_as_string(hide_password=False)
        begun = starts(whole)
        with ThreadPoolExecutor(len(begun) + 2) as threads:
            running = {name: threads.submit(start) for name, start in begun.items()}
            commands = [threads.submit(cli.main, [name, "--database-url", whole]) for name in ("status", "init-db")]
            # Here, for it listens to signals.
            codes = [cli.main(["serve", "--database-url", whole, "--insecure-no-auth"])]
            errors = {name: one.exception(LIMIT_SECONDS) for name, one in running.items()}
            codes += [command.result(LIMIT_SECONDS) for command in commands]
    assert codes == [1, 1, 1]
    assert capsys.readouterr().err.count(f"asyncflow: no connection to {url.render_as_string()}") == len(codes)
    assert {name: type(error) for name, error in errors.items()} == dict.fromkeys(begun, ConnectionSilentError)
    for error in errors.values():
        assert url.render_as_string() in str(error)
        assert url.password is not None
        assert f":{url.password}@" not in str(error)


def test_a_look_ends_that_gets_no_answer(application: Application) -> None:
    with proxy_to(application.engine.url) as (proxy, url):
        engine = create_engine(url, pool_size=1, max_overflow=0)
        with connected(engine) as connection:
            connection.execute(text("SELECT 1"))

        def ask_in_vain() -> None:
            with connected(engine, Limits(silence_seconds=0.5)) as connection:
                proxy.stall()
                connection.execute(text("SELECT 1"))

        with pytest.raises(ConnectionSilentError):
            ask_in_vain()
        proxy.resume()
        with connected(engine) as connection:  # its place in the pool is free
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        engine.dispose()


class TimeOfLines:
    """Be the time by which lines are watched: it passes as we say, and the watch looks as often as ever."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
        self.looks += 1

    def pass_by(self, seconds: float) -> None:
        """Let so much time pass, and the watch see it."""
        self.now += seconds
        looks = self.looks
        eventually(lambda: self.looks >= looks + 2)


def test_a_server_that_answers_each_question_in_time_is_slow_and_not_silent(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TimeOfLines()
    monkeypatch.setattr(line, "time", clock)
    limit = 100.0
    with connected(application.engine, Limits(silence_seconds=limit)) as connection:
        for _ in range(4):
            clock.pass_by(0.4 * limit)
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
            clock.pass_by(0.4 * limit)
