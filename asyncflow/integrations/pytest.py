"""A plugin of pytest: a session that the test rolls back, and a publisher that keeps what it is given.

Fixtures to override in a ``conftest.py``: ``asyncflow_outbox`` and ``asyncflow_engine``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from asyncflow import Outbox
    from asyncflow.testing import MemoryPublisher

# What is ours is imported where it is used: a plugin is loaded before the measuring of coverage begins, and in the
# test runs of projects that never ask for it.


@pytest.fixture(scope="session")
def asyncflow_outbox() -> Outbox:
    """Give the application's outbox: the only one of this process. Override it where there are several."""
    from asyncflow.errors import OptionError
    from asyncflow.testing.outboxes import outbox_of

    try:
        return outbox_of(None, None)
    except OptionError as error:
        raise pytest.UsageError(f"{error} Or write a fixture asyncflow_outbox that returns it.") from error


@pytest.fixture(scope="session")
def asyncflow_engine(asyncflow_outbox: Outbox) -> Iterator[Engine]:
    """Give an engine with the application's tables: SQLite in memory. Override it for the real database."""
    from sqlalchemy import StaticPool, create_engine

    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    asyncflow_outbox.tasks.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def asyncflow_session(asyncflow_engine: Engine) -> Iterator[Session]:
    """Give a Session in a transaction that is rolled back after the test; what is committed there is a savepoint."""
    from asyncflow.testing import rolled_back

    with rolled_back(asyncflow_engine) as session:
        yield session


@pytest.fixture
def asyncflow_publisher() -> MemoryPublisher:
    """Give a publisher that keeps its records, for ``drain(session, asyncflow_publisher)``."""
    from asyncflow.testing import MemoryPublisher

    return MemoryPublisher()
