"""What every test may use: databases, the broker's address, an application with an outbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import URL, Engine

from tests.support.application import Application
from tests.support.databases import NAMES, drop_everything, fresh_database, open_engine, url_of
from tools.services import load

# On CI the examples are the same in each run: what is found by chance is found where somebody can look.
# Without deadlines everywhere: how long an example takes, a busy machine decides.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_report_header() -> list[str]:
    services = load()
    kafka = services.kafka_bootstrap or "none"
    return [
        f"mariadb: {services.mariadb_url or 'none (`make services`)'}",
        f"postgresql: {services.postgresql_url or 'none (`make services`)'}",
        f"kafka: {kafka} ({'Apache Kafka' if services.kafka_is_real else 'NOT Apache Kafka'}; {services.kafka_note})",
    ]


@pytest.fixture(scope="session", params=NAMES)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """Give the URL of an empty database, on each of the three systems."""
    with fresh_database(request.param, tmp_path_factory.mktemp(request.param)) as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_url(tmp_path_factory: pytest.TempPathFactory) -> URL:
    """Give the URL of the MariaDB service itself, for tests that make databases of their own."""
    return url_of("mariadb", tmp_path_factory.mktemp("mariadb"))


@pytest.fixture
def engine(database_url: URL) -> Iterator[Engine]:
    """Give an engine on an empty database; everything is dropped afterwards."""
    engine = open_engine(database_url)
    yield engine
    drop_everything(engine)
    engine.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    """Give an engine on an empty SQLite file, for tests that concern no database in particular."""
    with fresh_database("sqlite", tmp_path) as url:
        engine = open_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def application(engine: Engine) -> Application:
    """Give an application on each database: a users table, an outbox, an inbox; tables created."""
    return Application(engine)


@pytest.fixture
def sqlite_application(sqlite_engine: Engine) -> Application:
    """Give an application on SQLite alone."""
    return Application(sqlite_engine)
