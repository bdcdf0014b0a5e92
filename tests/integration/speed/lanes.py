"""A task table of many lanes, filled by one statement on the server; and how many rows a piece of work examines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Table, event, text

from asyncflow import Status
from tests.support.databases import kind_of

_COUNTED = "WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s"
_NUMBERS = {
    "mariadb": "SELECT seq AS n FROM seq_{first}_to_{last}",
    "mysql": _COUNTED,
    "postgresql": "SELECT n FROM generate_series({first}, {last}) AS n",
    "sqlite": _COUNTED,
}
_IDS = {
    "mysql": "UNHEX(LEFT(SHA2(CONCAT({status}, '-', t.n, '-', s.n, '-', r.n), 256), 32))",
    "postgresql": "CAST(md5('{status}-' || t.n || '-' || s.n || '-' || r.n) AS uuid)",
    "sqlite": "randomblob(16)",
}
_NAMES = {
    "mysql": "CONCAT('type.', LPAD(t.n, 5, '0'))",
    "postgresql": "'type.' || LPAD(CAST(t.n AS text), 5, '0')",
    "sqlite": "printf('type.%05d', t.n)",
}
_TIMES = {
    "mysql": "UTC_TIMESTAMP(6) + INTERVAL ({at}) SECOND - INTERVAL r.n SECOND",
    "postgresql": "now() + ({at} - r.n) * interval '1 second'",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('%+d seconds', {at} - r.n))",
}


@dataclass(frozen=True, kw_only=True)
class Lanes:
    """Tell what a table is filled with; ``at_seconds`` from now is the order_time of each lane's last row."""

    types: int
    shards: int = 64
    rows: int = 1  # of each lane, a second apart
    first_row: int = 0  # the number of the first of them, where others have been written before
    status: Status = Status.PENDING
    at_seconds: int = -10
    key: str | None = None


def fill(engine: Engine, tasks: Table, lanes: Lanes) -> None:
    """Write the rows in one statement."""
    name = engine.dialect.name
    numbers, time = _NUMBERS[kind_of(engine)], _TIMES[name].format(at=lanes.at_seconds)
    status = int(lanes.status)
    rows = numbers.format(first=lanes.first_row, last=lanes.first_row + lanes.rows - 1)
    statement = (
        f"INSERT INTO {tasks.fullname} (id, task_type, task_key, shard, status, priority, order_time, "
        f"next_select_time, retry_count, max_retries, created_at, modified_at, payload) "
        f"SELECT {_IDS[name].format(status=status)}, {_NAMES[name]}, :key, s.n, {status}, 0, {time}, {time}, 0, 10, "
        f"{time}, {time}, :payload FROM ({numbers.format(first=0, last=lanes.types - 1)}) t "
        f"CROSS JOIN ({numbers.format(first=0, last=lanes.shards - 1)}) s CROSS JOIN ({rows}) r"
    )
    with engine.begin() as connection:
        if kind_of(engine) == "mysql":
            connection.execute(text("SET SESSION cte_max_recursion_depth = 10000000"))
        connection.execute(text(statement), {"key": lanes.key, "payload": b"{}"})


def analyze(engine: Engine, tasks: Table) -> None:
    """Let the planner look at the table as it is now."""
    words = {"mysql": "ANALYZE TABLE", "postgresql": "VACUUM ANALYZE", "sqlite": "ANALYZE"}[engine.dialect.name]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"{words} {tasks.fullname}"))


class Examined:
    """Hold the statements that some work sent, and what each examined."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.rows: list[int] = []

    @property
    def most(self) -> int:
        """Return how many rows or index entries the most expensive statement examined."""
        return max(self.rows, default=0)

    @property
    def total(self) -> int:
        """Return how many all of them examined."""
        return sum(self.rows)


@contextmanager
def examining(engine: Engine) -> Iterator[Examined]:
    """Count what each SELECT of the engine examines, by running it once more before it is sent.

    Of MySQL and MariaDB what the storage engine was asked for, of PostgreSQL what its scans returned and threw away.
    """
    examined = Examined()
    count = {"mysql": _handler_reads, "postgresql": scanned_rows}[engine.dialect.name]

    def note(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.lstrip("( ").split()[0].upper() in ("SELECT", "WITH") and "asyncflow_task" in statement:
            examined.statements.append(statement)
            examined.rows.append(count(cursor.connection, statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield examined
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _handler_reads(driver_connection: Any, statement: str, parameters: Any) -> int:
    with driver_connection.cursor() as cursor:
        before = handler_counters(cursor)
        cursor.execute(statement, parameters)
        cursor.fetchall()
        return handler_counters(cursor) - before


def handler_counters(cursor: Any) -> int:
    """Return how many rows and index entries the storage engine was asked for in this session."""
    # Without those of temporary tables, in which the server only keeps what it has read.
    cursor.execute(
        "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_first', 'Handler_read_key', "
        "'Handler_read_last', 'Handler_read_next', 'Handler_read_prev', 'Handler_read_rnd')"
    )
    return sum(int(value) for _, value in cursor.fetchall())


def scanned_rows(driver_connection: Any, statement: str, parameters: Any) -> int:
    """Return how many rows of asyncflow's tables a statement's scans return and throw away, by running it."""
    with driver_connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, parameters)
        ((plan,),) = cursor.fetchone()
    return int(sum(_rows_of(node) for node in _nodes(plan["Plan"])))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _rows_of(node: dict[str, Any]) -> float:
    if not node.get("Relation Name", "").startswith("asyncflow_") or node["Node Type"] == "ModifyTable":
        return 0.0
    thrown_away = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + thrown_away) * node["Actual Loops"])
