"""One store for each database, made once a module and emptied after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, MetaData

from asyncflow import Outbox
from tests.integration.outbox.dialects.store import Store
from tests.support.databases import open_engine


@pytest.fixture(scope="module")
def made_store(database_url: URL) -> Iterator[Store]:
    """Give a store with its tables; they are dropped after the module."""
    engine = open_engine(database_url)
    metadata = MetaData()
    store = Store(engine, Outbox(metadata))
    metadata.create_all(engine)
    yield store
    metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def store(made_store: Store) -> Iterator[Store]:
    """Give an empty store."""
    yield made_store
    made_store.empty()
