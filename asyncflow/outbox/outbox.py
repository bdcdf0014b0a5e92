"""The outbox: what business code touches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import MetaData, Table

from asyncflow.errors import OptionError
from asyncflow.forks import StaysHere
from asyncflow.outbox.captured import as_captured
from asyncflow.outbox.declarations.around import AroundFactory
from asyncflow.outbox.declarations.cloud_events import CloudEvents
from asyncflow.outbox.declarations.handler_type import require_outcomes_to
from asyncflow.outbox.declarations.outbox_hooks import AnyHook, OutboxHooks
from asyncflow.outbox.declaring import Declaring, checked
from asyncflow.outbox.dedupe import Enqueued
from asyncflow.outbox.encryption.encryption import Encryption
from asyncflow.outbox.encryption.hook import PayloadEncryption
from asyncflow.outbox.enqueuing import Add, Enqueuing, add_within
from asyncflow.outbox.ids import SHARD_COUNT
from asyncflow.outbox.living import remember
from asyncflow.outbox.look_up.look_up import LookUp
from asyncflow.outbox.message import MAX_MESSAGE_BYTES, Call, Door, Message, call_row_of, listed, row_of
from asyncflow.outbox.options import refuse_keywords, require_place, require_whole
from asyncflow.outbox.outcome.follow_up import following, with_follow_up
from asyncflow.outbox.outcome.telling import with_telling
from asyncflow.outbox.rolling.numbered_tables import numbered_tables_of
from asyncflow.outbox.rolling.roll_over import RollOver
from asyncflow.outbox.rolling.shelf import Shelf
from asyncflow.outbox.routing.databases import Databases
from asyncflow.outbox.routing.routing import Routing
from asyncflow.outbox.tables import MOST_CONTEXT_ROW_BYTES, Tables
from asyncflow.outbox.transaction.target import Caller
from asyncflow.outbox.transaction.wakeup import Bell
from asyncflow.outbox.unique.keys import Keys
from asyncflow.outbox.unique.unique_keys import unique_key_of, with_unique_key
from asyncflow.outbox.writing.awaiting import Awaiting
from asyncflow.outbox.writing.writer import Writer

if TYPE_CHECKING:
    from typing_extensions import Never

    from asyncflow.outbox.declarations.handler_type import Enclose, Handled, HandlerType
    from asyncflow.outbox.declarations.task_type import MessageType, TaskType
    from asyncflow.outbox.transaction.target import Target

CONTEXT_ROW_BYTES = 16 * 1024


class Outbox(Awaiting, Declaring, LookUp, Routing, StaysHere):
    """Write tasks into the caller's transaction; made once, beside the application's tables.

    Adds its tables, ``<prefix>task`` and others, to ``metadata``. Thread-safe after the declarations.

    ``shard_count``: shares of the table, 1 to 32,767; recorded in the database by the first scheduler.
    ``max_message_bytes``: limit of payload, key and the headers given, together. The default is what brokers and
    their clients take by their own defaults, less what we and the record format add.
    ``context_row_bytes``: how large a checkpoint's context may be in the task's row; a larger one has a table.
    ``default_destination``: where types go that name no destination.
    ``around``: functions of the TaskContext whose context managers stand around each attempt of each handler, the
    first outermost; ``outbox.around.add`` puts one more inside, before schedulers start.
    ``hooks``: receive the event of each enqueue; one may stand around enqueues, deliveries and attempts.
    ``transaction``: opens the application's own transaction around transactional handlers without a ``session``: a
    context manager that gives its Connection, commits at the end or raises, and lets nobody commit before.
    ``cloudevents``: how messages travel as CloudEvents, of the types that say nothing else.
    ``outcomes_to``: the name of the message type whose messages tell what became of tasks, of the handler types that
    say nothing else; ``""`` in a type leaves it out.
    ``encryption``: encrypts payloads as they are written, and decrypts them where they are used.
    ``databases``: those over which the application's rows, and so its tasks, are spread: ``outbox.route(key)``.
    ``roll_over``: lets finished tasks go on to tables of their own, which are dropped as a whole; None deletes rows.
    """

    def __init__(
        self,
        metadata: MetaData,
        *,
        prefix: str = "asyncflow_",
        schema: str | None = None,
        shard_count: int = SHARD_COUNT,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        context_row_bytes: int = CONTEXT_ROW_BYTES,
        default_destination: str = "kafka",
        hooks: Iterable[AnyHook] = (),
        around: Iterable[AroundFactory] = (),
        transaction: Enclose | None = None,
        cloudevents: CloudEvents | None = None,
        encryption: PayloadEncryption | None = None,
        outcomes_to: str | None = None,
        databases: Databases[Any] | None = None,
        roll_over: RollOver | None = None,
        **unknown: Never,
    ) -> None:
        refuse_keywords("Outbox", unknown, Outbox)
        require_place(metadata, prefix, schema)
        _require_sizes(shard_count, max_message_bytes, context_row_bytes)
        self._take(Tables.of(metadata, prefix, schema))
        self.numbered_tables = numbered_tables_of(self.tasks, prefix, roll_over)
        self.shelf = Shelf(self.tasks, self.numbered_tables)
        self.shard_count = shard_count
        self.max_message_bytes = max_message_bytes
        self.context_row_bytes = context_row_bytes
        self.bell = Bell()
        self.encryption = Encryption(encryption)
        self._encrypts = bool(self.encryption)
        require_outcomes_to(outcomes_to)
        self.outcomes_to = outcomes_to
        Routing.__init__(self, databases)
        super().__init__(Door(shard_count, max_message_bytes), default_destination, around, transaction, cloudevents)
        self.hooks = OutboxHooks(hooks, self.around)
        remember(self)
        self._read_from(self.shelf, self.contexts, self.handler_types)
        self._writer = Writer(self.tables, self.task_types, self.bell, self.hooks)

    def _take(self, its: Tables) -> None:
        self.tables = its
        self.tasks, self.contexts, self.turns, self.parked_keys = its.tasks, its.contexts, its.turns, its.parked_keys
        self.shards, self.instances, self.jobs = its.shards, its.instances, its.jobs
        self.dedupe_entries, self.unique_entries = its.dedupe_entries, its.unique_entries
        self.periodic_entries = its.periodic_entries
        self.schedule_cfgs, self.audit_entries, self.charts = its.schedule_cfgs, its.audit_entries, its.charts

    def publish(
        self,
        target: Target,
        task_type: str,
        payload: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        priority: int = 0,
        delay_seconds: float | timedelta = 0,
        content_type: str | None = None,
        idempotency_key: str | None = None,
        **unknown: Never,
    ) -> UUID:
        """Add one message to the caller's transaction; return its id, known before any flush.

        In a Session or AsyncSession the row joins the next flush; on a Connection it is inserted at once.
        Nothing is committed, and nothing is sent before the caller commits.

        A second message of the type with the same ``idempotency_key`` is not written, whatever else it carries: the
        first one's id is returned. Whether the key is new only the database knows, so such a message is written at
        once, by statements on the caller's own connection, which wait for an open transaction with the same key; a
        rollback frees the key. An AsyncSession cannot send them here: ``await publish_async(...)``.

        Raises a RefusedError (nothing is written then), WrongTargetError, NotTransactionalError or
        UnknownOptionError.
        """
        if unknown:
            refuse_keywords("publish()", unknown, self.publish)
        message = Message(payload, key, headers, priority, delay_seconds, content_type, idempotency_key)
        return self._write(target, task_type, [message])[0].id

    def publish_once(self, target: Target, task_type: str, message: Message) -> Enqueued:
        """Do what ``publish`` does; tell whether the message is new or its idempotency key was used before."""
        return self._write(target, task_type, listed([message], Message))[0]

    def publish_many(self, target: Target, task_type: str, messages: Iterable[Message]) -> list[UUID]:
        """Add messages of one type to the caller's transaction; return their ids in order.

        All are checked before the first is written. On a Session or Connection they are inserted at once, in
        few statements; in an AsyncSession they join the next flush. Raises what ``publish`` raises.
        """
        return [one.id for one in self._write(target, task_type, listed(messages, Message), bulk=True)]

    def enqueue(
        self,
        target: Target,
        task: Handled,
        /,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        priority: int = 0,
        delay_seconds: float | timedelta = 0,
        run_at: datetime | None = None,
        idempotency_key: str | None = None,
        unique_key: str | None = None,
        **arguments: Any,
    ) -> UUID:
        """Add a call of ``task``, a handler or the name of its type, to the caller's transaction; return its id.

        ``arguments`` are the handler's own, checked against its signature before anything is written. Nothing is
        committed, and nothing is started before the caller commits. ``idempotency_key`` is as for ``publish``.

        While a task of the type with the same ``unique_key`` waits, for a retry too, or is at work, no second one is
        written, and its id is returned; when it is done, has failed, or was cancelled or deleted, the key is free. One
        that is found waiting does not begin before the caller commits. As an idempotency key it is looked up at once,
        and waits for an open transaction that has just taken it; a task has one of both.

        Raises what ``publish`` raises.
        """
        call = Call(arguments, key, headers, priority, delay_seconds, run_at, idempotency_key, unique_key=unique_key)
        return self._call(target, task, [call])[0].id

    def enqueue_once(self, target: Target, task: Handled, call: Call) -> Enqueued:
        """Do what ``enqueue`` does; tell whether the task is new or was found by its key."""
        return self._call(target, task, listed([call], Call))[0]

    def enqueue_many(self, target: Target, task: Handled, calls: Iterable[Call]) -> list[UUID]:
        """Add calls of one handler to the caller's transaction; return the tasks' ids in order.

        All are checked before the first is written, as by ``publish_many``. Raises what ``publish`` raises.
        """
        return [one.id for one in self._call(target, task, listed(calls, Call), bulk=True)]

    def enqueue_many_once(self, target: Target, task: Handled, calls: Iterable[Call]) -> list[Enqueued]:
        """Do what ``enqueue_many`` does; tell of each whether it is new or was found by its key."""
        return self._call(target, task, listed(calls, Call), bulk=True)

    def _call(self, given: Any, task: Any, calls: Sequence[Call], *, bulk: bool = False) -> list[Enqueued]:
        caller = Caller.of(given)
        task_type = self.handler_types.require(task)
        calls = [checked(call, task_type) for call in calls]
        rows = [self._row_of(call, task_type) for call in calls]
        add = partial(self._writer.add, caller, task_type.name, rows, Keys.of_calls(calls), bulk=bulk)
        return self._add_within(task_type, rows, add) if self.hooks.around_enqueue else add()

    def _row_of(self, call: Call, task_type: HandlerType) -> dict[str, Any]:
        row = call_row_of(call, task_type, self._door)
        if self._encrypts:
            self.encryption.encrypt_row(row, task_type, self.max_message_bytes)
        if (self.outcomes_to or task_type.outcomes_to) and (to := self.told_to(task_type)):
            row["headers"] = with_telling(row["headers"], to)
        if (key := unique_key_of(call.unique_key)) is not None:
            row["headers"] = with_unique_key(row["headers"], key)
        if call.then is not None:
            follows = following(call.then, self, self.handler_types)
            its_row = self._row_of(follows.call, follows.task_type)
            row["headers"] = with_follow_up(row["headers"], its_row, follows.call, follows.result_as)
        return row

    @property
    def all_tables(self) -> list[Table]:
        """Return the tables that the database is to have from the beginning; numbered ones come and go."""
        return [*self.tables, *([self.numbered_tables.positions] if self.numbered_tables else [])]

    def told_to(self, task_type: HandlerType) -> MessageType | None:
        """Return of which type the messages are that tell of a type's outcomes.

        Raises UnknownTaskTypeError, or OptionError for a type that makes its payloads when they are sent, or
        that is captured.
        """
        name = self.outcomes_to if task_type.outcomes_to is None else task_type.outcomes_to
        kind = self.task_types.require(name) if name else None
        if kind is not None and kind.builder is not None:
            raise OptionError(
                f"outcomes_to of {task_type.name!r} is {name!r}, which has a builder; name a message type without one"
            )
        if kind is not None and kind.captured:
            raise OptionError(
                f"outcomes_to of {task_type.name!r} is {name!r}, which is captured; name a type that a relay sends"
            )
        return kind

    def _write(self, given: Any, name: str, messages: Sequence[Message], *, bulk: bool = False) -> list[Enqueued]:
        caller = Caller.of(given)
        task_type = self.task_types.require(name)
        rows = [row_of(message, task_type, self._door) for message in messages]
        if task_type.ordered:
            # They share a turn, and go by their ids: of a process whose clock was set back, too.
            for row, task_id in zip(rows, sorted(row["id"] for row in rows), strict=True):
                row["id"] = task_id
        if self._encrypts:  # when each has its id, which is bound
            for row in rows:
                self.encryption.encrypt_row(row, task_type, self.max_message_bytes)
        if task_type.captured:  # last, for its headers tell of an encryption, too
            rows = [as_captured(row, task_type) for row in rows]
        keys = Keys.of_messages(messages) if any(one.idempotency_key is not None for one in messages) else None
        add = partial(self._writer.add, caller, name, rows, keys, bulk=bulk)
        return self._add_within(task_type, rows, add) if self.hooks.around_enqueue else add()

    def _add_within(self, task_type: TaskType, rows: list[dict[str, Any]], add: Add) -> list[Enqueued]:
        return add_within(self.hooks.around_enqueue, Enqueuing.of(task_type, rows, self._door), add)


def _require_sizes(shard_count: int, max_message_bytes: int, context_row_bytes: int) -> None:
    require_whole("shard_count", shard_count, 1, 32_767)
    require_whole("max_message_bytes", max_message_bytes, 1, 2**31 - 1)
    require_whole("context_row_bytes", context_row_bytes, 0, MOST_CONTEXT_ROW_BYTES)
