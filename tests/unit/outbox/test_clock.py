"""Types of the clock: offsets in, moments out, nothing that depends on the machine."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from asyncflow.outbox.clock import DatabaseTime, Instant, database_now, seconds_until

DIALECTS: list[Any] = [database.dialect() for database in (mysql, postgresql, sqlite)]
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
TABLE = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("at", DatabaseTime()))

each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


@each_dialect
def test_a_moment_is_read_as_an_aware_utc_datetime(dialect: Any) -> None:
    stored = (
        NOON.astimezone(timezone(timedelta(hours=8))) if dialect.name == "postgresql" else NOON.replace(tzinfo=None)
    )
    read = Instant().process_result_value(stored, dialect)
    assert read == NOON
    assert read.tzinfo is timezone.utc


@each_dialect
def test_an_absolute_moment_is_bound_in_utc(dialect: Any) -> None:
    given = NOON.astimezone(timezone(timedelta(hours=8)))
    bound = Instant().process_bind_param(given, dialect)
    assert bound is not None
    assert bound.replace(tzinfo=None) == NOON.replace(tzinfo=None)


@each_dialect
def test_nothing_stays_nothing(dialect: Any) -> None:
    assert Instant().process_bind_param(None, dialect) is None
    assert Instant().process_result_value(None, dialect) is None


@each_dialect
def test_a_naive_datetime_is_refused_with_the_remedy(dialect: Any) -> None:
    with pytest.raises(ValueError, match=r"has no time zone; use datetime.now\(timezone.utc\)"):
        Instant().process_bind_param(datetime(2026, 1, 2), dialect)


@each_dialect
def test_an_insert_writes_the_database_s_clock(dialect: Any) -> None:
    clock = {"mysql": "UTC_TIMESTAMP(6)", "postgresql": "statement_timestamp()", "sqlite": "'now'"}[dialect.name]
    assert clock in str(insert(TABLE).compile(dialect=dialect))


@each_dialect
def test_no_clock_depends_on_the_session_s_time_zone(dialect: Any) -> None:
    text = str(select(database_now(), seconds_until(TABLE.c.at)).compile(dialect=dialect)).upper()
    assert "NOW()" not in text
    assert "CURRENT_TIMESTAMP" not in text
    assert "LOCALTIME" not in text


@each_dialect
def test_a_column_is_compared_with_an_offset_or_with_a_moment(dialect: Any) -> None:
    by_offset = str(select(TABLE).where(TABLE.c.at < timedelta(0)).compile(dialect=dialect))
    by_moment = str(select(TABLE).where(TABLE.c.at < NOON).compile(dialect=dialect))
    by_moments = str(select(TABLE).where(TABLE.c.at.between(NOON, NOON)).compile(dialect=dialect))
    clock = {"mysql": "UTC_TIMESTAMP", "postgresql": "statement_timestamp", "sqlite": "strftime"}[dialect.name]
    assert clock in by_offset
    assert clock not in by_moment
    assert clock not in by_moments


@pytest.mark.parametrize(
    ("dialect", "type_"),
    [(DIALECTS[0], "DATETIME(6)"), (DIALECTS[1], "TIMESTAMP WITH TIME ZONE"), (DIALECTS[2], "DATETIME")],
    ids=["mysql", "postgresql", "sqlite"],
)
def test_a_time_keeps_its_microseconds_in_the_table(dialect: Any, type_: str) -> None:
    assert f"at {type_}" in str(CreateTable(TABLE).compile(dialect=dialect)).replace("`", "")
