"""An application whose engine has a driver of its own, on a database that each driver's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import URL, Engine, create_engine

from tests.support.application import Application
from tests.support.databases import fresh_database, open_engine
from tests.support.drivers import SYNC, Driver, name_of


@pytest.fixture(scope="module", params=SYNC, ids=name_of)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Give each driver that is installed."""
    driver: Driver = request.param
    driver.require()
    return driver


@pytest.fixture(scope="module")
def usual(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give an engine of the usual driver, for what a test does behind the back of the one in question."""
    with ExitStack() as until:
        url = until.enter_context(fresh_database(driver.system, tmp_path_factory.mktemp("driver")))
        engine = open_engine(url)
        until.callback(engine.dispose)
        Application(engine)
        yield engine


@pytest.fixture
def driven_url(driver: Driver, usual: Engine) -> URL:
    """Give the URL of the database by the driver in question."""
    return driver.url(usual.url)


@pytest.fixture
def application(driven_url: URL, usual: Engine) -> Iterator[Application]:
    """Give an application that works through the driver in question; its tables are empty."""
    engine = create_engine(driven_url, max_overflow=30)
    application = Application(engine, has_tables=True)
    yield application
    engine.dispose()
    with usual.begin() as connection:
        for table in reversed(application.Base.metadata.sorted_tables):
            connection.execute(table.delete())
