"""Claims that travel by a queue: made in the shards of this instance, and settled by whoever hears of their outcome."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.task import uuid_of
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.scope import Scope
from asyncflow.scheduler.table.claim_owner import ClaimOwner, names_in_rows
from asyncflow.scheduler.worker.claiming import queries
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims
from asyncflow.scheduler.worker.claiming.shard_claims import ShardClaims

_AT_ONCE = 500


class QueuedClaims(ShardClaims):
    """Be a dispatcher's source of claims, on its thread.

    Their owner is the queue, and no instance: a claim outlives the instance that made it. No attempt counts before a
    worker was heard of, however often a claim runs out in the queue.
    """

    def __init__(
        self,
        instance: Instance,
        scope: Scope,
        types: Mapping[str, HandlerType],
        queue: str,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(instance, scope, types, wake, ClaimOwner.by_queue(queue))
        deletes = instance.settings.on_success == "delete"
        self._by_name = ServiceClaims(instance.outbox, instance.engine, deletes=deletes)

    def still_held(self, held: Sequence[HeldClaim]) -> set[HeldClaim]:
        """Read which of these claims are neither settled nor lost."""
        parts = (held[first : first + _AT_ONCE] for first in range(0, len(held), _AT_ONCE))
        return {one for part in parts for one in self._database.run(partial(self._by_name.held, held=part))}

    def shards(self) -> Mapping[int, int]:
        """Return those of this instance, with the epoch of each."""
        return self._ownership.epochs()

    def handed_over(self, shards: Collection[int], most: int) -> dict[HeldClaim, str]:
        """Read what is in the queue or at work of the tasks in some shards, whoever sent it, with its types."""
        wanted = {
            "task_types": sorted(self._types),
            "shards": sorted(shards),
            "owners": names_in_rows([self._terms.owner.name]),
            "limit": most,
        }

        def read(connection: Connection) -> dict[HeldClaim, str]:
            rows = connection.execute(queries.held_by_owners(self._tasks), wanted)
            return {HeldClaim(uuid_of(row[0]), row.claim_token): row.task_type for row in rows}

        return self._database.run(read)

    def _marked_types(self, names: set[str]) -> Collection[str]:
        return names
