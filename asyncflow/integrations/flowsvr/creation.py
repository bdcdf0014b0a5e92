"""The creation of tasks for callers: once, though the answer to a COMMIT be lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from asyncflow.errors import InvalidArgumentsError, OutcomeUnknownError
from asyncflow.integrations.flowsvr.databases import RequestDatabases
from asyncflow.integrations.flowsvr.door.tokens import Token
from asyncflow.integrations.flowsvr.idempotency import Bound, IdempotencyKeys
from asyncflow.outbox import Call, Outbox
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.dedupe import Enqueued
from asyncflow.scheduler.operator.task_view import TaskView


class Creation:
    """Create tasks, and call ``on_created`` then; used on the event loop. ``deletes``: of tasks that were done."""

    def __init__(
        self,
        outbox: Outbox,
        databases: RequestDatabases,
        view: TaskView,
        on_created: Callable[[], None],
        *,
        deletes: bool,
    ) -> None:
        self._outbox = outbox
        self._databases = databases
        self._view = view
        self._on_created = on_created
        self._deletes = deletes
        self._keys = IdempotencyKeys(outbox.dedupe_entries)

    async def create(
        self, kind: HandlerType, calls: Sequence[Call], caller: Token, *, bulk: bool = False
    ) -> list[Enqueued]:
        """Enqueue tasks of one type, all or none, one by one or in ``bulk``; tell of each whether it is new.

        Raises a RefusedError, Problem 409 for a key that was used for another task, or OutcomeUnknownError unless each
        has an idempotency key.
        """
        digest = self._outbox.encryption.digest
        bound = [Bound.to(caller.name, call, revived(kind, call), digest) for call in calls]

        def enqueue(connection: Connection) -> list[Enqueued]:
            given = [one.call for one in bound]
            if bulk:
                return self._outbox.enqueue_many_once(connection, kind, given)
            return [self._outbox.enqueue_once(connection, kind, one) for one in given]

        made = await self._enqueue(
            lambda connection: self._keys.kept(connection, kind.name, bound, enqueue(connection)),
            is_repeatable=all(call.idempotency_key is not None for call in calls),
        )
        self._on_created()
        return made

    async def _enqueue(self, work: Callable[[Connection], list[Enqueued]], *, is_repeatable: bool) -> list[Enqueued]:
        """Enqueue once, though the answer to a COMMIT be lost; what is ``is_repeatable`` has its idempotency keys."""
        tried: list[list[Enqueued]] = []

        def enqueue(connection: Connection) -> list[Enqueued]:
            tried.append(work(connection))
            return tried[-1]

        def trace(connection: Connection) -> list[Enqueued] | None:
            for made in tried:
                # One found by its key is there whatever became of the COMMIT; if all are, there was nothing to write.
                new = next((one.id for one in made if one.is_new), None)
                if new is None or self._view.states(connection, [new]):
                    return made
            if tried and self._deletes and not is_repeatable:
                raise _unknown()  # they may be done and deleted already
            return None

        try:
            return await self._databases.run_once(enqueue, trace)
        except SQLAlchemyError as error:
            if tried and not is_repeatable:
                raise _unknown() from error
            raise


def _unknown() -> OutcomeUnknownError:
    return OutcomeUnknownError(
        "the answer to the COMMIT was lost: it is unknown whether tasks were created; look for them before you ask "
        "again, or give each an idempotency_key, with which it is safe to ask again"
    )


def revived(kind: HandlerType, call: Call) -> Call:
    """Return the call with the arguments as the handler takes them, from their JSON; raises InvalidArgumentsError."""
    if kind.signature is None:
        return call
    arguments: dict[str, Any] = {}
    for name, value in call.arguments.items():
        try:
            arguments |= kind.signature.revive({name: value})
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise InvalidArgumentsError(f"arguments.{name} does not fit {kind.name}(): {text}", name) from error
    return replace(call, arguments=arguments)
