"""What every test may use: databases, the broker's address, an application with an outbox."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import URL, Engine

from tests.support.application import Application
from tests.support.databases import (
    NAMES,
    STANDS_IN,
    Databases,
    concerns_others,
    drop_everything,
    fresh_database,
    open_engine,
    require_known_drivers,
    url_of,
)
from tests.support.kept_tables import KeptTables
from tests.support.remembered_statements import RememberedStatements
from tools.services import load

# On CI the examples are the same in each run: what is found by chance is found where somebody can look.
# Without limits of time everywhere: how long examples take, a busy machine decides.
UNTIMED: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("ci", derandomize=True, **UNTIMED)
hypothesis.settings.register_profile("here", **UNTIMED)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

# Whoever starts the tests may tell them how wide a terminal is; what a command prints must not depend on that.
os.environ.pop("COLUMNS", None)

KEPT = KeptTables()
REMEMBERED = RememberedStatements("asyncflow")


def pytest_report_header() -> list[str]:
    services = load()
    kafka = services.kafka_bootstrap or "none"
    return [
        f"mariadb: {services.mariadb_url or 'none (`make services`)'}",
        f"mysql: {services.mysql_url or 'none'}{', in place of MariaDB' if STANDS_IN else ''}",
        f"postgresql: {services.postgresql_url or 'none (`make services`)'}",
        f"pgbouncer: {services.pgbouncer_url or 'none'}",
        f"kafka: {kafka} ({'Apache Kafka' if services.kafka_is_real else 'NOT Apache Kafka'}; {services.kafka_note})",
    ]


def pytest_configure() -> None:
    """Refuse a run whose drivers are none."""
    require_known_drivers()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of a run with MySQL in the place of MariaDB what concerns other databases."""
    left_out = [item for item in items if concerns_others(item.nodeid)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not concerns_others(item.nodeid)]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name in the ids of tests what stands in for MariaDB."""
    return STANDS_IN if val == "mariadb" else None


def pytest_collection_finish() -> None:
    """Let collections of garbage, and forks, leave alone what lives to the end anyway: thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let every test that does not ask for the usual application's tables begin without them."""
    fixtures = getattr(item, "fixturenames", ())
    if "database_url" in fixtures and "kept_tables" not in fixtures:
        KEPT.drop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Forget the statements that were remembered: each would keep its test's tables, some megabytes of them."""
    yield
    REMEMBERED.forget()


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Have the databases of this run."""
    with ExitStack() as until:
        yield Databases(until, tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="session", params=NAMES)
def database_url(request: pytest.FixtureRequest, databases: Databases) -> URL:
    """Give the URL of an empty database, on each of the three systems; ``everywhere`` has a fourth."""
    return databases.url(request.param)


@pytest.fixture(scope="session")
def mariadb_url(tmp_path_factory: pytest.TempPathFactory) -> URL:
    """Give the URL of the MariaDB service itself, for tests that make databases of their own."""
    return url_of("mariadb", tmp_path_factory.mktemp("mariadb"))


@pytest.fixture
def engine(request: pytest.FixtureRequest, database_url: URL) -> Iterator[Engine]:
    """Give an engine on an empty database; everything is dropped afterwards, but what is kept for the next test."""
    engine = open_engine(database_url)
    yield engine
    (KEPT.leave if "kept_tables" in request.fixturenames else drop_everything)(engine)
    engine.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    """Give an engine on an empty SQLite file, for tests that concern no database in particular."""
    with fresh_database("sqlite", tmp_path) as url:
        engine = open_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def kept_tables() -> KeptTables:
    """Know where the usual application's tables stand; a test that has this in its fixtures may begin with them."""
    return KEPT


@pytest.fixture
def application(engine: Engine, kept_tables: KeptTables) -> Application:
    """Give an application on each database: a users table, an outbox, an inbox; tables created, and empty."""
    if kept_tables.take(engine):
        return Application(engine, has_tables=True)
    application = Application(engine)
    kept_tables.note(engine)
    return application


@pytest.fixture
def sqlite_application(sqlite_engine: Engine) -> Application:
    """Give an application on SQLite alone."""
    return Application(sqlite_engine)
