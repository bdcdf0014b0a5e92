"""Old entries of the inbox are deleted, in pages, and only those."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from asyncflow.errors import OptionError
from tests.integration.outbox.watch import checkouts_of
from tests.support.application import Application
from tests.support.databases import kind_of


def remember(application: Application, count: int, age: timedelta, consumer: str = "points") -> None:
    rows = [
        {"consumer": consumer, "message_id": f"{age.days}-{number}", "processed_at": -age} for number in range(count)
    ]
    with application.engine.begin() as connection:
        connection.execute(insert(application.inbox.entries), rows)


def left(application: Application) -> list[str]:
    entries = application.inbox.entries
    return [row.message_id for row in application.rows(select(entries).order_by(entries.c.processed_at))]


def test_entries_older_than_the_age_are_deleted(application: Application) -> None:
    remember(application, 2, timedelta(days=8))
    remember(application, 2, timedelta(days=6))
    assert application.inbox.clean(application.engine, older_than=timedelta(days=7)) == 2
    assert left(application) == ["6-0", "6-1"]


def test_the_default_age_is_seven_days(application: Application) -> None:
    remember(application, 1, timedelta(days=7, minutes=1))
    remember(application, 1, timedelta(days=6, hours=23))
    assert application.inbox.clean(application.engine) == 1
    assert left(application) == ["6-0"]


def test_no_more_than_the_limit_are_deleted_the_oldest_first(application: Application) -> None:
    for days in (30, 20, 10):
        remember(application, 1, timedelta(days=days))
    assert application.inbox.clean(application.engine, limit=2) == 2
    assert left(application) == ["10-0"]
    assert application.inbox.clean(application.engine, limit=0) == 0


def test_many_entries_are_deleted_in_several_transactions(application: Application) -> None:
    remember(application, 1201, timedelta(days=8))
    with checkouts_of(application.engine) as taken:
        assert application.inbox.clean(application.engine) == 1201
    assert len(taken) >= 3
    assert left(application) == []


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_locked_entry_is_left_for_another_call_and_nothing_else_is(application: Application) -> None:
    remember(application, 3, timedelta(days=8))
    entries = application.inbox.entries
    with application.engine.connect() as rival:
        key = {"consumer": "points", "message_id": "8-1"}
        one = select(entries.c.message_id).where(*(entries.c[name] == value for name, value in key.items()))
        assert rival.execute(one.with_for_update()).all()
        assert application.inbox.clean(application.engine) == 2
        assert left(application) == ["8-1"]
        rival.rollback()
    assert application.inbox.clean(application.engine) == 1


def test_a_session_is_as_it_was_after_cleaning(application: Application) -> None:
    shown = {
        "mariadb": "SELECT @@SESSION.innodb_lock_wait_timeout, @@SESSION.tx_isolation",
        "mysql": "SELECT @@SESSION.innodb_lock_wait_timeout, @@SESSION.transaction_isolation",
        "postgresql": "SELECT current_setting('lock_timeout'), current_setting('transaction_isolation')",
        "sqlite": "SELECT 1, 2",
    }[kind_of(application.engine)]

    def session() -> tuple[Any, ...]:
        with application.engine.connect() as connection:
            return tuple(connection.execute(text(shown)).one())

    before = session()
    remember(application, 1, timedelta(days=8))
    assert application.inbox.clean(application.engine) == 1
    assert session() == before


def test_an_inbox_without_old_entries_stays_as_it_is(application: Application) -> None:
    assert application.inbox.clean(application.engine) == 0
    remember(application, 1, timedelta(0))
    assert application.inbox.clean(application.engine) == 0
    assert len(left(application)) == 1


def test_entries_of_equal_ids_and_other_consumers_are_told_apart(application: Application) -> None:
    remember(application, 2, timedelta(days=8), "points")
    remember(application, 2, timedelta(days=8), "Points")
    assert application.inbox.clean(application.engine, limit=3) == 3
    assert len(left(application)) == 1


@pytest.mark.parametrize("older_than", [timedelta(days=-1), 7, None, "7 days"])
def test_an_age_that_is_none_is_refused_and_deletes_nothing(application: Application, older_than: Any) -> None:
    remember(application, 1, timedelta(0))
    with pytest.raises(OptionError, match=r"^older_than is .*; give a timedelta"):
        application.inbox.clean(application.engine, older_than=older_than)
    assert len(left(application)) == 1


@pytest.mark.parametrize("limit", [-1, 1.5, None, "10", True])
def test_a_limit_that_is_none_is_refused(application: Application, limit: Any) -> None:
    with pytest.raises(OptionError, match=r"^limit is .*; give a whole number"):
        application.inbox.clean(application.engine, limit=limit)
