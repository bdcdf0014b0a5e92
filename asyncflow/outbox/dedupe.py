"""Idempotency keys: an enqueue that is repeated finds the task that the first one made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Table

from asyncflow.errors import InvalidKeyError
from asyncflow.outbox import queries
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.queries import insert_absent
from asyncflow.outbox.tables import KEY_LENGTH
from asyncflow.text import require_text

_PAGE = 200  # keys in a statement, of four values each: SQLite's old bound of variables is 999


class Enqueued(NamedTuple):
    """Tell which task an enqueue led to, and whether it made that task or found it by its key."""

    id: UUID
    is_new: bool


def idempotency_key_of(key: Any) -> str | None:
    """Return the key if there is one; raises InvalidKeyError."""
    return None if key is None else require_text("idempotency_key", key, KEY_LENGTH, InvalidKeyError)


class Dedupe:
    """Know the first task of each idempotency key of each task type; has no state but the table.

    Its statements run at once on the caller's connection, and share the fate of the caller's transaction.
    """

    def __init__(self, entries: Table) -> None:
        self.entries = entries

    def sift(
        self, connection: Connection, task_type: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str | None]
    ) -> list[Enqueued]:
        """Return for each row, in order, the task that its key stands for; a row without a key is new.

        While another transaction with one of the keys is open, this waits for its end.
        """
        return sifted(rows, keys, partial(self._first_of, connection, task_type))

    def _first_of(self, connection: Connection, task_type: str, wanted: Mapping[str, UUID]) -> dict[str, UUID]:
        first: dict[str, UUID] = {}
        # Anew for what the cleaner deleted between the two statements.
        while missing := wanted.keys() - first.keys():
            for keys in pages_of(missing):
                first |= self._remember(connection, task_type, {key: wanted[key] for key in keys})
        return first

    def _remember(self, connection: Connection, task_type: str, wanted: dict[str, UUID]) -> dict[str, UUID]:
        entries = [
            {"task_type": task_type, "idempotency_key": key, "task_id": task_id, "created_at": NO_TIME}
            for key, task_id in wanted.items()
        ]
        if insert_absent(connection, self.entries, entries) == len(entries):
            return wanted
        values = {"its_type": task_type, "its_keys": list(wanted)}
        rows = connection.execute(queries.tasks_of_idempotency_keys(self.entries), values)
        return {row.idempotency_key: row.task_id for row in rows}


def sifted(
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str | None],
    tasks_of: Callable[[Mapping[str, UUID]], Mapping[str, UUID]],
) -> list[Enqueued]:
    """Return for each row the task of its key, by ``tasks_of`` keys with the first row of each; without one its own."""
    wanted: dict[str, UUID] = {}
    for row, key in zip(rows, keys, strict=True):
        if key is not None:
            wanted.setdefault(key, row["id"])
    found = tasks_of(wanted)
    ids = [row["id"] if key is None else found[key] for row, key in zip(rows, keys, strict=True)]
    return [Enqueued(task_id, task_id == row["id"]) for row, task_id in zip(rows, ids, strict=True)]


def pages_of(keys: Iterable[str]) -> Iterator[list[str]]:
    """Return keys in pages of what one statement takes."""
    # In one order everywhere, so that two bulks with the same keys do not wait for each other.
    ordered = sorted(keys)
    for start in range(0, len(ordered), _PAGE):
        yield ordered[start : start + _PAGE]
