"""Claims that travel by a queue: made in the shards of this instance, and settled by whoever hears of their outcome."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.scope import Scope
from asyncflow.scheduler.table.claim_owner import ClaimOwner
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

    def _marked_types(self, names: set[str]) -> Collection[str]:
        return names
