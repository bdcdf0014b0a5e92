"""Which place in asyncflow sends each statement, what it returns, and how many rows the server examines for that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, event

import asyncflow
from tests.integration.speed.lanes import handler_counters, scanned_rows

_ROOT = Path(asyncflow.__file__).parent
_PLUMBING = (
    "scheduler/connections",
    "outbox/dialects",
    "outbox/transaction",
    "outbox/queries",
    "outbox/rolling/shelf",
    "scheduler/heads/templates",
)
_WORDS = ("SELECT", "WITH", "UPDATE", "DELETE", "INSERT")


class Sent(NamedTuple):
    """Tell of one statement; ``place`` is the module and the function that sent it."""

    place: str
    text: str
    returned: int
    examined: int


@contextmanager
def watching(engine: Engine) -> Iterator[list[Sent]]:
    """Fill the list with the statements on asyncflow's tables that the engine sends.

    MariaDB tells what its storage engine was asked for meanwhile. To PostgreSQL each is sent once before, and taken
    back, to be explained.
    """
    sent: list[Sent] = []
    before, after = (_count_handlers, _counted_handlers) if engine.dialect.name == "mysql" else (_explain, _explained)

    def begin(_: Any, cursor: Any, statement: str, parameters: Any, context: Any, is_many: bool) -> None:
        context.asyncflow_examined = None
        if _is_ours(statement) and not is_many:
            context.asyncflow_examined = before(cursor.connection, statement, parameters)

    def end(_: Any, cursor: Any, statement: str, __: Any, context: Any, ___: bool) -> None:
        before_it = getattr(context, "asyncflow_examined", None)  # another thread's may have begun before we watched
        if before_it is not None:
            examined = after(cursor.connection, before_it)
            sent.append(Sent(_place(), statement, max(0, cursor.rowcount), examined))

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", begin)
        event.remove(engine, "after_cursor_execute", end)


def _is_ours(statement: str) -> bool:
    return "asyncflow_" in statement and statement.lstrip("( ").split()[0].upper() in _WORDS


def _place() -> str:
    """Return the innermost place in asyncflow that is more than plumbing."""
    frame = sys._getframe(1)
    while frame is not None:
        with suppress(ValueError):
            module = Path(frame.f_code.co_filename).relative_to(_ROOT).with_suffix("").as_posix()
            if not module.startswith(_PLUMBING):
                return f"{module}:{frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return "a test"


def _count_handlers(driver_connection: Any, _: str, __: Any) -> int:
    with driver_connection.cursor() as cursor:
        return handler_counters(cursor)


def _counted_handlers(driver_connection: Any, before: int) -> int:
    return _count_handlers(driver_connection, "", ()) - before


def _explain(driver_connection: Any, statement: str, parameters: Any) -> int:
    if statement.startswith("INSERT") and "SELECT" not in statement:
        return 0
    is_alone = driver_connection.autocommit
    with driver_connection.cursor() as cursor:
        cursor.execute("BEGIN" if is_alone else "SAVEPOINT explained")
    try:
        return scanned_rows(driver_connection, statement, parameters)
    finally:
        with driver_connection.cursor() as cursor:
            cursor.execute("ROLLBACK" if is_alone else "ROLLBACK TO SAVEPOINT explained")


def _explained(_: Any, examined: int) -> int:
    return examined
