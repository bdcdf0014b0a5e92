"""The purge: settled tasks deleted before the cleaner would, by type, status and age."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from asyncflow.errors import OptionError
from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.look_up.cursor import Cursor
from asyncflow.outbox.options import require_number
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.again import run_again
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.operator.audit import Act, Subject
from asyncflow.scheduler.operator.walk import pages_of, walk_of_old
from asyncflow.scheduler.table.contexts import Contexts
from asyncflow.scheduler.table.queries import delete_in_status, lock_free, read_clock
from asyncflow.scheduler.table.row_locks import hold_writers
from asyncflow.text import shown

COUNTED = 10_000  # of a preview, which ends there
_PAGE = 500
_OLDEST_SECONDS = 3650 * 86400.0
_SETTLED = (Status.SUCCESS, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Say which tasks are deleted: settled so, that long ago, of a type or of all. Raises OptionError."""

    older_than_seconds: float
    statuses: Sequence[Status] = (Status.SUCCESS,)
    task_type: str | None = None

    def __post_init__(self) -> None:
        require_number("older_than_seconds", self.older_than_seconds, 0, _OLDEST_SECONDS)
        wrong = [status for status in self.statuses if status not in _SETTLED]
        if wrong or not self.statuses:
            raise OptionError(f"statuses is {shown(self.statuses)}; give some of SUCCESS, FAILED and CANCELLED")

    def told(self) -> str:
        """Return what it is, for the audit."""
        names = "/".join(status.name for status in self.statuses)
        return f"{names} older than {self.older_than_seconds:g} s"


@dataclass(frozen=True, slots=True)
class Purgeable:
    """Tell how many tasks a purge would delete, by status and type; ``is_capped``: there are more."""

    counts: dict[tuple[Status, str], int]
    is_capped: bool


class Purger:
    """Look at what a purge would delete, and delete it; any thread may call."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox

    def preview(self, purge: Purge) -> Purgeable:
        """Count what would be deleted, up to COUNTED."""
        counts: Counter[tuple[Status, str]] = Counter()
        with Database(self._engine) as database:
            for status, page in self._pages(database, purge):
                counts.update((status, cursor.task_type) for cursor in page)
                if counts.total() >= COUNTED:
                    return Purgeable(dict(counts), is_capped=True)
        return Purgeable(dict(counts), is_capped=False)

    def run(
        self,
        purge: Purge,
        *,
        actor: str,
        reason: str | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Delete page by page, each a transaction; return how many. ``on_progress`` is told how many, after each.

        The audit tells of it before the first is deleted: one that is killed is told, too. Of a page that was deleted
        while its answer was lost, its tasks count all the same. What is settled meanwhile is left.
        """
        deleted = 0
        note = Act("purge", actor, reason).writing(
            self._outbox.audit_entries, Subject.of("purge", purge.task_type or "all types"), purge.told()
        )
        with Database(self._engine) as database:
            run_again(database, note)
            for status, page in self._pages(database, purge):
                deleted += self._delete(database, status, page)
                on_progress(deleted)
        return deleted

    def _pages(self, database: Database, purge: Purge) -> Iterator[tuple[Status, Sequence[Cursor]]]:
        age = timedelta(seconds=purge.older_than_seconds)
        moment: datetime = run_again(database, lambda connection: connection.execute(read_clock()).scalar_one())
        for status in purge.statuses:
            walk = walk_of_old(purge.task_type, self._outbox, status, moment - age)
            for page in pages_of(walk, database, _PAGE):
                yield status, page

    def _delete(self, database: Database, status: Status, page: Sequence[Cursor]) -> int:
        ids, most = [cursor.id for cursor in page], [0]

        def delete(connection: Connection) -> None:
            tasks, raw_ids = self._outbox.tasks, [raw_form(one, connection.dialect.name) for one in ids]
            hold_writers(connection, self._outbox.shards)
            named = {"ids": sorted(raw_ids), "its_status": int(status)}
            # What is not there any more may have rolled over since it was read, and then its context is wanted.
            held = connection.execute(lock_free(tasks, skip_locked=False), named).scalars().all()
            if held:
                connection.execute(delete_in_status(tasks, int(status)), {"ids": sorted(held)})
                Contexts(self._outbox).forget(connection, held)
            most[0] = max(most[0], len(held))

        run_again(database, delete)
        return most[0]
