"""Notes on groups of dead letters: what is known of an error, kept in the audit with who wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import Engine

from asyncflow.errors import OptionError
from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator.audit import Act, Subject
from asyncflow.scheduler.operator.by_hand import queries
from asyncflow.text import shown

_FINGERPRINT = re.compile(r"[0-9a-f]{12}")
_GROUPS = UUID("6f0dbb3a-6a0e-5d0a-9a50-1f6f3a0e7c11")  # in which the ids of groups are made: drawn once
_MOST_GROUPS = 500  # of which notes are read
_MOST_READ = 2_000  # entries, of all these groups together


@dataclass(frozen=True, slots=True)
class Note:
    """Tell what was written last about a group, by whom and when by the database's clock."""

    at: datetime
    actor: str
    text: str


class Notes:
    """Write and read the notes; any thread may call. They are forgotten with the audit that they stand in."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._entries = outbox.audit_entries

    def write(self, fingerprint: str, text: str | None, *, actor: str) -> None:
        """Write a note over the one that is there; None takes it away. Raises OptionError."""
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise OptionError(f"the group is {shown(fingerprint)}; give a fingerprint, 12 digits of 0-9 and a-f")
        subject = Subject("@letters", fingerprint, _id_of(fingerprint))
        run_briefly(self._engine, Act("note", actor, text).writing(self._entries, subject))

    def of(self, fingerprints: Iterable[str]) -> dict[str, Note]:
        """Return the latest note of each group that has one."""
        ids = [_id_of(one) for one in dict.fromkeys(fingerprints)][:_MOST_GROUPS]
        if not ids:
            return {}
        statement, values = queries.notes(self._entries), {"ids": ids, "most": _MOST_READ}
        rows = run_briefly(self._engine, lambda connection: connection.execute(statement, values).all())
        latest = {row.task_key: row for row in reversed(rows)}
        return {name: Note(row.at, row.actor, row.reason) for name, row in latest.items() if row.reason is not None}


def _id_of(fingerprint: str) -> UUID:
    return uuid5(_GROUPS, fingerprint)
