"""What a test sees of an engine: the statements sent, and the connections taken from the pool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def statements_of(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements, with their parameters, that the driver is given."""
    sent: list[tuple[str, Any]] = []

    def keep(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", keep)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", keep)


@contextmanager
def checkouts_of(engine: Engine) -> Iterator[list[Any]]:
    """Collect the connections that are taken from the pool."""
    taken: list[Any] = []

    def keep(connection: Any, *_: Any) -> None:
        taken.append(connection)

    event.listen(engine, "checkout", keep)
    try:
        yield taken
    finally:
        event.remove(engine, "checkout", keep)
