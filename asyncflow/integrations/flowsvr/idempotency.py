"""Idempotency keys at the service: each is its caller's own, and stands for one task alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table

from asyncflow.integrations.flowsvr.door.problems import Problem
from asyncflow.outbox import Call
from asyncflow.outbox.dedupe import Enqueued
from asyncflow.outbox.queries import delete_dedupe_keys, insert_absent, tasks_of_idempotency_keys
from asyncflow.outbox.tables import KEY_LENGTH

_PAGE = 200  # keys in a statement, of four values each: SQLite's old bound of variables is 999
_CALLER_DIGITS = 16


class Bound:
    """Hold a call whose idempotency key or unique key, if it has one, belongs to a caller."""

    def __init__(self, call: Call, given: Call, digest: Callable[[bytes], bytes]) -> None:
        self.call = call  # as the outbox takes it
        self._digest = digest
        self._given = given  # as it came: of a set, say, that a handler takes, each process tells another order

    @classmethod
    def to(cls, caller: str, given: Call, revived: Call, digest: Callable[[bytes], bytes]) -> Bound:
        """Let the keys of a call, ``revived`` from the JSON that was ``given``, be the caller's."""
        if given.unique_key is not None:
            revived = replace(revived, unique_key=_key_of(caller, given.unique_key))
        if given.idempotency_key is None:
            return cls(revived, given, digest)
        return cls(replace(revived, idempotency_key=_key_of(caller, given.idempotency_key)), given, digest)

    @cached_property
    def mark(self) -> str | None:
        """Return what is kept beside the key: a key too, of the key and all that the call carries."""
        if self.call.idempotency_key is None:
            return None
        fields = [getattr(self._given, name) for name in _CARRIED]
        text = json.dumps([self.call.idempotency_key, fields], sort_keys=True, default=str)
        return f"={self._digest(text.encode(errors='surrogatepass')).hex()}"


_CARRIED = ("arguments", "key", "headers", "priority", "delay_seconds", "run_at", "max_retries")


def _key_of(caller: str, key: str) -> str:
    """Return the key under which the caller's one is kept, no longer than a key may be."""
    owner = hashlib.sha256(caller.encode()).hexdigest()[:_CALLER_DIGITS]
    if len(owner) + 1 + len(key) <= KEY_LENGTH:
        return f"{owner}:{key}"
    return f"{owner}#{hashlib.sha256(key.encode()).hexdigest()}"


class IdempotencyKeys:
    """Tell a repeated call from another one with the same key; has no state but the outbox's table of keys."""

    def __init__(self, entries: Table) -> None:
        self._entries = entries

    def kept(
        self, connection: Connection, task_type: str, calls: Sequence[Bound], made: Sequence[Enqueued]
    ) -> list[Enqueued]:
        """Return what was made, in the transaction that made it; keep of each new task what its key stands for.

        Raises Problem 409 for a key that stands for something else.
        """
        new = {call.mark: one.id for call, one in zip(calls, made, strict=True) if call.mark and one.is_new}
        self._keep(connection, task_type, new)
        repeated = [call.mark for call, one in zip(calls, made, strict=True) if call.mark and not one.is_new]
        if set(repeated) - new.keys() - self._known(connection, task_type, repeated):
            raise Problem(
                409,
                "idempotency_key was used for another task, with other arguments or options; nothing was created: "
                "give each task a key of its own",
                field="idempotency_key",
            )
        return list(made)

    def _keep(self, connection: Connection, task_type: str, marks: dict[str, UUID]) -> None:
        for page in _pages(list(marks)):
            entries = [self._entry(task_type, mark, marks[mark]) for mark in page]
            if insert_absent(connection, self._entries, entries) < len(entries):
                # Some are left of a key that was forgotten since: they would be forgotten before this one.
                delete_dedupe_keys(connection, self._entries, ((task_type, mark) for mark in page))
                insert_absent(connection, self._entries, entries)

    def _known(self, connection: Connection, task_type: str, marks: Sequence[str]) -> set[str]:
        statement = tasks_of_idempotency_keys(self._entries)
        return {
            row.idempotency_key
            for page in _pages(marks)
            for row in connection.execute(statement, {"its_type": task_type, "its_keys": page})
        }

    def _entry(self, task_type: str, mark: str, task_id: UUID) -> dict[str, Any]:
        return {"task_type": task_type, "idempotency_key": mark, "task_id": task_id, "created_at": timedelta(0)}


def _pages(marks: Sequence[str]) -> list[list[str]]:
    # In one order everywhere, so that two bulks with the same keys do not wait for each other.
    ordered = sorted(marks)
    return [ordered[start : start + _PAGE] for start in range(0, len(ordered), _PAGE)]
