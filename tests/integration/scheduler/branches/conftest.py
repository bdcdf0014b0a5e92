"""Several databases of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.scheduler.branches.several import Several, several
from tests.support.databases import NAMES


@pytest.fixture(params=NAMES)
def spread(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Several]:
    """Give an application in three databases of each kind."""
    with several(request.param, tmp_path) as its:
        yield its


@pytest.fixture
def spread_files(tmp_path: Path) -> Iterator[Several]:
    """Give one in three files, for what concerns no database in particular."""
    with several("sqlite", tmp_path) as its:
        yield its


@pytest.fixture
def spread_servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Several]:
    """Give one in three databases of the server that the test names."""
    with several(request.param, tmp_path) as its:
        yield its
