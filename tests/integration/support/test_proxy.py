"""The tests' own network: what it says it does, it does."""

from __future__ import annotations

import pytest
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.support.proxy import proxy_to

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


@on_servers
@pytest.mark.parametrize("isolation_level", ["READ COMMITTED", "AUTOCOMMIT"])
def test_a_commit_whose_answer_is_lost_has_happened(database_url: URL, isolation_level: str) -> None:
    with proxy_to(database_url) as (proxy, url):
        engine = create_engine(url, isolation_level=isolation_level)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE proxied (id INTEGER PRIMARY KEY)"))
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO proxied VALUES (:id)"), {"id": 1})
        doomed = proxy.commits + 1
        proxy.lose_answers(lambda number: number == doomed)
        with pytest.raises(DBAPIError), engine.begin() as connection:
            connection.execute(text("INSERT INTO proxied VALUES (:id)"), {"id": 2})
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO proxied VALUES (:id)"), {"id": 3})
        with engine.begin() as connection:
            assert connection.execute(text("SELECT id FROM proxied ORDER BY id")).scalars().all() == [1, 2, 3]
            connection.execute(text("DROP TABLE proxied"))
        assert proxy.lost == [doomed]
        engine.dispose()


@on_servers
def test_connections_that_are_reset_end_and_new_ones_are_served(database_url: URL) -> None:
    with proxy_to(database_url) as (proxy, url):
        engine = create_engine(url)
        connection = engine.connect()
        connection.execute(text("SELECT 1"))
        proxy.reset()
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT 1"))
        connection.close()
        with engine.connect() as fresh:
            assert fresh.execute(text("SELECT 1")).scalar_one() == 1
        engine.dispose()
