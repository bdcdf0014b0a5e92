"""Dead letters: looked at, replayed, cancelled and discarded on purpose, with a trace of who did it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row

from asyncflow.errors import OptionError, PayloadTooLargeError, TaskNotFoundError
from asyncflow.events import Hook, Hooks
from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.look_up.cursor import Cursor, cursor_of
from asyncflow.outbox.options import require_number, require_whole
from asyncflow.outbox.outcome.telling import is_told
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.connections.engine_check import require_place
from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.audit import MOST_READ, Act
from asyncflow.scheduler.operator.changing.batches import Batches, Changed
from asyncflow.scheduler.operator.changing.pace import Pace
from asyncflow.scheduler.operator.selection import Selection, task_id_of
from asyncflow.scheduler.operator.shown_payload import mended
from asyncflow.scheduler.operator.task_view import DeadLetter, TaskState, letter_of, state_of
from asyncflow.scheduler.operator.walk import walk_of
from asyncflow.scheduler.table.contexts import Contexts
from asyncflow.scheduler.table.fingerprints import error_of
from asyncflow.scheduler.table.log_lines import log_line, short_error
from asyncflow.scheduler.table.outcome_messages import OutcomeMessages, ToldOutcome
from asyncflow.scheduler.table.queries import read_clock
from asyncflow.scheduler.table.shards import put_into_shards

_LONGEST_DETAIL = 12_000
_NOT_KEPT = "(the payload is encrypted: what was changed is not kept)"


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """Hold a page of dead letters; ``next`` is what to give as ``after`` for the page behind it, None at the end."""

    letters: list[DeadLetter]
    next: str | None


class DeadLetters:
    """Look at dead letters and change them; safe beside running schedulers, and for many at once.

    Each batch of tasks is locked, changed and entered into the audit in one transaction. A PROCESSING task is left
    alone: its handler is at work, and what it does could not be called back. Any thread may call.
    """

    def __init__(self, engine: Engine, outbox: Outbox, *, hooks: Iterable[Hook] = ()) -> None:
        require_place(engine, outbox)
        self._engine = engine
        self._outbox = outbox
        self._tasks = outbox.tasks
        self._outcomes = OutcomeMessages(outbox)
        self._batches = Batches(engine, outbox, Hooks(hooks))

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

        return self._batches.change(selection, act, [Status.FAILED], write, revives=True)

    def cancel(self, selection: Selection, *, actor: str, reason: str | None = None) -> Changed:
        """Make tasks that wait or have failed CANCELLED; raises OptionError.

        A message that a relay has in hand at this moment may still be sent.
        """
        act = Act("cancel", actor, reason)

        def write(connection: Connection, rows: Sequence[Any], _: int) -> list[str]:
            values = {"ids": [row.raw_id for row in rows], "line": _line(act)}
            facts = self._facts(connection, rows)
            connection.execute(queries.cancel(self._tasks), values)
            self._tell(connection, facts, dict.fromkeys(facts, ToldOutcome("cancelled", short_error(act.told()))))
            return [f"was {Status(row.status).name}" for row in rows]

        return self._batches.change(selection, act, [Status.FAILED, Status.PENDING], write)

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

        return self._batches.change(selection, act, [Status.FAILED], write)

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

        return self._batches.change(selection, act, [Status.FAILED], write, revives=True)

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
        until = connection.execute(read_clock()).scalar_one()
        places, following = walk_of(selection, self._outbox, Status.FAILED, until).page(connection, after, limit)
        letters: dict[UUID, DeadLetter] = {}
        if places:
            named = {"ids": [raw_form(cursor.id, self._engine.dialect.name) for cursor in places]}
            rows = connection.execute(queries.summaries(self._tasks), named)
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


def _line(act: Act) -> str:
    return log_line(short_error(act.told()))


def _list_of(selection: Selection) -> Hashable:
    return "dead letters", selection.task_type, selection.key
