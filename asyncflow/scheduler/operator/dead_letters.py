"""Dead letters: looked at, replayed, cancelled and discarded on purpose, with a trace of who did it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, Row

from asyncflow.errors import OptionError, PayloadTooLargeError, TaskNotFoundError
from asyncflow.events import Hook, Hooks, TasksChanged
from asyncflow.outbox import Outbox
from asyncflow.outbox.declarations.task_type import require_number
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.look_up.cursor import Cursor, cursor_of
from asyncflow.outbox.options import require_whole
from asyncflow.outbox.outcome.telling import is_told
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.connections.again import run_again, run_briefly, run_once
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.audit import MOST_READ, Act
from asyncflow.scheduler.operator.pace import Pace
from asyncflow.scheduler.operator.revived_keys import RevivedKeys
from asyncflow.scheduler.operator.selection import Selection, task_id_of
from asyncflow.scheduler.operator.shown_payload import mended
from asyncflow.scheduler.operator.task_view import DeadLetter, TaskState, letter_of, state_of
from asyncflow.scheduler.operator.walk import pages_of, walk_of
from asyncflow.scheduler.table.contexts import Contexts
from asyncflow.scheduler.table.fingerprints import error_of
from asyncflow.scheduler.table.log_lines import log_line, short_error
from asyncflow.scheduler.table.outcome_messages import OutcomeMessages, ToldOutcome, told_of
from asyncflow.scheduler.table.row_locks import hold_writers
from asyncflow.scheduler.table.shards import put_into_shards

T = TypeVar("T")
_PAGE = 500
_LONGEST_DETAIL = 12_000
_MISSING = "missing"
_NOT_KEPT = "(the payload is encrypted: what was changed is not kept)"


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """Hold a page of dead letters; ``next`` is what to give as ``after`` for the page behind it, None at the end."""

    letters: list[DeadLetter]
    next: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """Tell how many tasks were changed, and of those named by id and left alone their status, or ``missing``.

    Of a dead letter that was to be replayed and was not, for another task has its unique key, it tells which, whether
    it was named or not.
    """

    count: int
    left: dict[UUID, str] = field(default_factory=dict)


class DeadLetters:
    """Look at dead letters and change them; safe beside running schedulers, and for many at once.

    Each batch of tasks is locked, changed and entered into the audit in one transaction. A PROCESSING task is left
    alone: its handler is at work, and what it does could not be called back. Any thread may call.
    """

    def __init__(self, engine: Engine, outbox: Outbox, *, hooks: Iterable[Hook] = ()) -> None:
        self._engine = engine
        self._outbox = outbox
        self._tasks = outbox.tasks
        self._outcomes = OutcomeMessages(outbox)
        self._hooks = Hooks(hooks)
        self._revived = RevivedKeys(outbox)

    def list(
        self, *, task_type: str | None = None, key: str | None = None, limit: int = 100, after: str | None = None
    ) -> DeadLetterPage:
        """Return a page, of a type or key if given; pages repeat and skip nothing, whatever changes meanwhile.

        Of a key with many tasks that are no dead letters a page may have fewer, or none, and yet a next one. Raises
        OptionError.
        """
        require_whole("limit", limit, 1, MOST_READ)
        is_filter = task_type is not None or key is not None
        selection = Selection(task_type=task_type, key=key, everything=not is_filter)
        cursor = None if after is None else cursor_of(after, "after", _list_of(selection))
        return run_briefly(self._engine, lambda connection: self._list(connection, selection, limit, cursor))

    def inspect(self, task_id: UUID | str) -> TaskState:
        """Return all of one task, whatever its status; raises TaskNotFoundError or OptionError."""
        wanted = task_id_of(task_id)
        row = self._whole(wanted)
        if row is None:
            raise TaskNotFoundError(f"there is no task {wanted}; is it another outbox's, or was it deleted?")
        return state_of(row, self._outbox.encryption)

    def replay(
        self, selection: Selection, *, actor: str, reason: str | None = None, per_second: float | None = None
    ) -> Changed:
        """Let dead letters be PENDING again with all their retries; ``per_second`` spreads when they come due.

        Of an ordered type, a key that waited for its dead letter goes on with it. A dead letter whose unique key
        another task has by now is left alone: with both, two would be at work. Raises OptionError.
        """
        act = Act("replay", actor, reason)
        if per_second is not None:
            require_number("per_second", per_second, 0.001, 1e6)
        pace = Pace(per_second)

        def write(connection: Connection, rows: Sequence[Any], done: int) -> list[str]:
            delays = pace.delays(done, len(rows))
            for delay, several in groupby(zip(delays, rows, strict=True), key=lambda pair: pair[0]):
                values = {"delay": timedelta(seconds=delay), "line": _line(act)}
                connection.execute(queries.replay(self._tasks), {**values, "ids": [row.raw_id for _, row in several]})
            # A reshard leaves settled rows where they are.
            put_into_shards(connection, self._outbox, rows, self._shard_count(connection))
            return [f"due after {delay:g} s" if delay else "due at once" for delay in delays]

        return self._change(selection, act, [Status.FAILED], write, revives=True)

    def cancel(self, selection: Selection, *, actor: str, reason: str | None = None) -> Changed:
        """Make tasks that wait or have failed CANCELLED; raises OptionError.

        A message that a relay has in hand at this moment may still be sent.
        """
        act = Act("cancel", actor, reason)

        def write(connection: Connection, rows: Sequence[Any], _: int) -> list[str]:
            values = {"ids": [row.raw_id for row in rows], "line": _line(act)}
            facts = self._facts(connection, rows)
            connection.execute(queries.cancel(self._tasks), values)
            self._tell(connection, facts, told_of(facts, ToldOutcome("cancelled", short_error(act.told()))))
            return [f"was {Status(row.status).name}" for row in rows]

        return self._change(selection, act, [Status.FAILED, Status.PENDING], write)

    def discard(self, selection: Selection, *, actor: str, reason: str | None = None) -> Changed:
        """Delete dead letters; only the audit remembers them. Raises OptionError."""
        act = Act("discard", actor, reason)

        def write(connection: Connection, rows: Sequence[Any], _: int) -> list[str]:
            raw_ids = [row.raw_id for row in rows]
            facts = self._facts(connection, rows)
            connection.execute(queries.discard(self._tasks), {"ids": raw_ids})
            Contexts(self._outbox).forget(connection, raw_ids)
            told = {raw_id: ToldOutcome("discarded", error_of(row.schedule_log)) for raw_id, row in facts.items()}
            self._tell(connection, facts, told)
            return ["deleted"] * len(rows)

        return self._change(selection, act, [Status.FAILED], write)

    def mend(
        self, task_id: UUID | str, payload: bytes, *, seen: bytes, detail: str, actor: str, reason: str | None = None
    ) -> Changed:
        """Give a dead letter another payload and replay it; ``seen`` is the payload that was shown to who mended it.

        ``detail`` is kept in the audit, up to 12,000 characters of it; not that of an encrypted payload, which is
        encrypted anew. Raises OptionError if the task has another payload by now, or one that cannot
        be read here, or PayloadTooLargeError; as ``replay`` it leaves alone what is no dead letter.
        """
        act, selection = Act("mend", actor, reason), Selection(ids=[task_id])
        if len(payload) > (most := self._outbox.max_message_bytes):
            raise PayloadTooLargeError(f"payload: it is {len(payload)} bytes, the limit is {most}; make it smaller")
        before = self._whole(task_id_of(task_id))
        after = None
        if before is not None and before.status == Status.FAILED:
            after = mended(before, payload, seen, self._outbox.encryption)  # before any lock: a hook may take its time

        def write(connection: Connection, rows: Sequence[Any], _: int) -> list[str]:
            present = connection.execute(queries.payload_of(self._tasks, rows[0].id)).scalar_one()
            if before is None or after is None or present != before.payload:
                raise OptionError(f"the payload of {rows[0].id} is another by now; look at it again")
            values = {"mended": after.payload, "its_headers": after.headers, "ids": [rows[0].raw_id]}
            connection.execute(queries.mend(self._tasks), {**values, "delay": timedelta(0), "line": _line(act)})
            put_into_shards(connection, self._outbox, rows, self._shard_count(connection))
            return [_NOT_KEPT if is_encrypted(after.headers) else detail[:_LONGEST_DETAIL]]

        return self._change(selection, act, [Status.FAILED], write, revives=True)

    def _shard_count(self, connection: Connection) -> int:
        """Return the recorded count: an outbox that was made for a command has not the application's."""
        recorded = cluster_queries.recorded_shards(self._outbox.shards)
        shards = connection.execute(recorded, {"its_job": OUTBOX_JOB}).all()
        return len(shards) or self._outbox.shard_count

    # -- reading -----------------------------------------------------------------------------------------

    def _whole(self, task_id: UUID) -> Row[Any] | None:
        statement_of = partial(queries.whole, contexts=self._outbox.contexts, task_id=task_id)
        rows = run_briefly(self._engine, lambda connection: self._outbox.shelf.rows(connection, statement_of, {}))
        return rows[0] if rows else None

    def _list(self, connection: Connection, selection: Selection, limit: int, after: Cursor | None) -> DeadLetterPage:
        until = connection.execute(queries.now()).scalar_one()
        places, following = walk_of(selection, self._outbox, Status.FAILED, until).page(connection, after, limit)
        letters: dict[UUID, DeadLetter] = {}
        if places:
            rows = connection.execute(queries.summaries(self._tasks), self._named(cursor.id for cursor in places))
            letters = {row.id: letter_of(row) for row in rows}
        return DeadLetterPage(
            [letters[cursor.id] for cursor in places if cursor.id in letters],
            None if following is None else following.as_text(_list_of(selection)),
        )

    def _facts(self, connection: Connection, rows: Sequence[Row[Any]]) -> dict[Any, Row[Any]]:
        """Read what is told of those tasks whose outcomes are told."""
        asked = [row.raw_id for row in rows if is_told(row.headers)]
        return self._outcomes.facts(connection, asked) if asked else {}

    def _tell(self, connection: Connection, facts: Mapping[Any, Row[Any]], told: Mapping[Any, ToldOutcome]) -> None:
        """Write the messages about outcomes, if any were asked for."""
        if facts:
            self._outcomes.write(connection, facts, told, self._shard_count(connection))

    # -- changing ----------------------------------------------------------------------------------------

    def _change(
        self, selection: Selection, act: Act, statuses: Sequence[Status], write: _Write, *, revives: bool = False
    ) -> Changed:
        done = 0
        left: dict[UUID, str] = {}
        with Database(self._engine) as database:
            for ids in self._batches(database, selection, statuses):
                room = None if selection.limit is None else selection.limit - done
                if room == 0:
                    break
                batch = _Batch(ids[:room], done, act, statuses, write, revives)
                changed, taken = self._change_batch(database, batch)
                done += len(changed)
                if changed:
                    self._hooks.emit(TasksChanged(act.action, act.actor, len(changed)))
                if selection.wanted_ids is not None:
                    left |= self._left(database, set(ids) - changed)
                left |= {one: f"FAILED, and its unique key has task {holder} by now" for one, holder in taken.items()}
        return Changed(done, left)

    def _batches(
        self, database: Database, selection: Selection, statuses: Sequence[Status]
    ) -> Iterator[Sequence[UUID]]:
        """Give the ids of selected rows, page by page."""
        if (wanted := selection.wanted_ids) is not None:
            for start in range(0, len(wanted), _PAGE):
                yield wanted[start : start + _PAGE]
            return
        until = run_again(database, lambda connection: connection.execute(queries.now()).scalar_one())
        for status in statuses:
            for places in pages_of(walk_of(selection, self._outbox, status, until), database, _PAGE):
                yield [cursor.id for cursor in places]

    def _change_batch(self, database: Database, batch: _Batch) -> _ChangedBatch:
        """Change a batch once, though the answer to its COMMIT be lost."""
        tried: dict[UUID, _ChangedBatch] = {}  # by an entry of the audit, which tells whether it happened

        def work(connection: Connection) -> _ChangedBatch:
            entries, changed = self._write(connection, batch)
            tried.update(dict.fromkeys(entries[:1], changed))
            return changed

        def trace(connection: Connection) -> _ChangedBatch | None:
            for entry, changed in tried.items():
                if connection.execute(queries.is_there(self._outbox.audit_entries, entry)).first():
                    return changed
            return None

        return run_once(database, work, trace)

    def _write(self, connection: Connection, batch: _Batch) -> tuple[Sequence[UUID], _ChangedBatch]:
        """Lock, change and enter into the audit; return the ids of the entries, and what was changed."""
        hold_writers(connection, self._outbox.shards)
        asked = self._revived.ask(connection, self._named(batch.ids)["ids"]) if batch.revives else None
        taken = asked.taken if asked else {}
        lock = queries.lock(self._tasks, tuple(map(int, batch.statuses)))
        free = [task_id for task_id in batch.ids if task_id not in taken]
        rows = connection.execute(lock, self._named(free)).all() if free else []
        if asked:
            rows = [row for row in rows if asked.is_free(row)]
        if not rows:
            return [], _ChangedBatch(set(), taken)
        details = batch.write(connection, rows, batch.done)
        entries = batch.act.write(connection, self._outbox.audit_entries, rows, details)
        return entries, _ChangedBatch({row.id for row in rows}, taken)

    def _left(self, database: Database, ids: set[UUID]) -> dict[UUID, str]:
        if not ids:
            return {}
        read, named = self._outbox.shelf.rows, self._named(ids)
        rows = run_again(database, lambda connection: read(connection, queries.statuses_of, named))
        return dict.fromkeys(ids, _MISSING) | {row.id: Status(row.status).name for row in rows}

    def _named(self, ids: Iterable[UUID]) -> dict[str, Any]:
        """Return the ids as statements take them."""
        return {"ids": [raw_form(task_id, self._engine.dialect.name) for task_id in ids]}


_Write = Callable[[Connection, Sequence[Any], int], "list[str]"]


class _Batch(NamedTuple):
    """Hold what is to happen to some tasks, when ``done`` others were changed before."""

    ids: Sequence[UUID]
    done: int
    act: Act
    statuses: Sequence[Status]
    write: _Write
    revives: bool  # the tasks wait again


class _ChangedBatch(NamedTuple):
    """Tell which tasks were changed, and of those that were not for their unique keys which tasks have these."""

    ids: set[UUID]
    taken: dict[UUID, UUID]


def _line(act: Act) -> str:
    return log_line(short_error(act.told()))


def _list_of(selection: Selection) -> Hashable:
    return "dead letters", selection.task_type, selection.key
