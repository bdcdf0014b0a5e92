"""Databases of a file's own, whose whole content the diagnosis tells of; on the two servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.support.databases import drop_everything, fresh_database, open_engine

QUICK: dict[str, Any] = {"heartbeat_seconds": 0.1, "lease_seconds": 3.0, "max_pause_seconds": 0.1, "tick": 0.1}


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with fresh_database(request.param, tmp_path_factory.mktemp("diagnosis")) as url:
        yield url


@pytest.fixture
def engine(server: Any) -> Iterator[Engine]:
    engine = open_engine(server)
    yield engine
    drop_everything(engine)
    engine.dispose()
