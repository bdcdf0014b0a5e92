"""The tables of the usual application, which stay from test to test: to make them takes longer than most tests."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, text

from tests.support.databases import drop_everything, open_engine, table_names

Shape = list[Any]
_MOST_ROWS = 300  # of a table that is emptied by DELETE: for more, to make it anew is quicker
_COUNTING = "asyncflow_turn"  # what its numbers begin with is not to be left to the next test

# What tells a table that somebody has changed, or counted, or let grow, from a new one.
_RELATIONS = """
SELECT c.relname, c.relkind, c.reloptions, c.relacl::text, c.relhastriggers, c.relpages, c.reltuples,
  CASE WHEN c.relkind IN ('r', 'i') THEN pg_relation_size(c.oid) > 262144 END,
  CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END,
  CASE WHEN c.relkind = 'S' THEN pg_sequence_last_value(c.oid) END,
  (SELECT string_agg(
     concat_ws(' ', attname, atttypid, atttypmod, attcollation, attnotnull, atthasdef), ',' ORDER BY attnum)
   FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),
  (SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid)
FROM pg_class c WHERE relnamespace = current_schema()::regnamespace ORDER BY relname
"""


class KeptTables:
    """Know in which databases the tables stand as new: empty, and changed by nobody."""

    def __init__(self) -> None:
        self._kept: set[URL] = set()
        self._new: dict[URL, Shape] = {}

    def take(self, engine: Engine) -> bool:
        """Tell whether the tables stand there; from now on they are those of a test."""
        there = engine.url in self._kept
        self._kept.discard(engine.url)
        return there

    def note(self, engine: Engine) -> None:
        """Remember how tables look that were made this moment."""
        if engine.dialect.name in _SHAPES:
            with engine.connect() as connection:
                self._new[engine.url] = _shape(connection)

    def leave(self, engine: Engine) -> None:
        """Empty the tables for the next test; drop everything where they are no more as they were made."""
        if engine.url in self._new and self._are_emptied(engine):
            self._kept.add(engine.url)
        else:
            drop_everything(engine)

    def drop(self) -> None:
        """Drop the tables everywhere, for a test that begins in an empty database."""
        while self._kept:
            engine = open_engine(self._kept.pop(), poolclass=NullPool)
            drop_everything(engine)
            engine.dispose()

    def _are_emptied(self, engine: Engine) -> bool:
        with engine.begin() as connection:
            rows = _row_counts(connection)
            if max(rows.values(), default=0) > _MOST_ROWS:
                return False
            for name in filter(rows.__getitem__, rows):
                connection.exec_driver_sql(f"{'TRUNCATE' if _COUNTING in name else 'DELETE FROM'} {name}")
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"ALTER SEQUENCE IF EXISTS {_COUNTING}_number_seq RESTART")
            return _shape(connection) == self._new[engine.url]


def _row_counts(connection: Connection) -> dict[str, int]:
    """Return how many rows the tables have, counting no further than we need to know."""
    names = table_names(connection)
    counts = [f"(SELECT COUNT(*) FROM (SELECT 1 FROM {name} LIMIT {_MOST_ROWS + 1}) AS counted)" for name in names]
    return dict(zip(names, connection.exec_driver_sql(f"SELECT {', '.join(counts)}").one(), strict=True))


def _shape(connection: Connection) -> Shape:
    return _SHAPES[connection.dialect.name](connection)


def _shape_on_mariadb(connection: Connection) -> Shape:
    made = [tuple(connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()) for name in table_names(connection)]
    return [*sorted(made), *connection.exec_driver_sql("SHOW TRIGGERS").all()]


def _shape_on_postgresql(connection: Connection) -> Shape:
    return list(connection.execute(text(_RELATIONS)).all())


_SHAPES = {"mysql": _shape_on_mariadb, "mariadb": _shape_on_mariadb, "postgresql": _shape_on_postgresql}
