"""Where an instance stands: what wakes it, its part in the cluster, and the types in force."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection
from functools import partial
from typing import Any

from asyncflow.scheduler.alarms import Alarms
from asyncflow.scheduler.cluster.allocation import Allocation, Fixed, SharedOut
from asyncflow.scheduler.cluster.bulletin import Bulletin, Informant
from asyncflow.scheduler.cluster.cluster import Cluster
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.departed import Departed
from asyncflow.scheduler.cluster.membership import News
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB, instance_name
from asyncflow.scheduler.cluster.registry import Registry
from asyncflow.scheduler.cluster.rhythm import Rhythm
from asyncflow.scheduler.cluster.share import Share
from asyncflow.scheduler.cluster.strategies import strategy_of
from asyncflow.scheduler.configuration.types_in_force import TypesInForce
from asyncflow.scheduler.given import GivenRegistry, RegistryMaker
from asyncflow.scheduler.heads.lookout import Lookout
from asyncflow.scheduler.heads.unknown_types import UnknownTypes
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.scope import Scope
from asyncflow.scheduler.settings import SchedulerSettings


class Standing:
    """Hold what there is to work on, and what wakes those who do; made before them, and belongs to one process."""

    def __init__(self, instance: Instance, destinations: Collection[str], registry: GivenRegistry = None) -> None:
        outbox, settings, hooks = instance.outbox, instance.settings, instance.hooks
        departed, of_keepers = Departed(settings.claim_lease_seconds), bool(instance.database_name)
        self.alarms = Alarms(destinations, departed, hooks, queues=instance.queues, of_keepers=of_keepers)
        share = Share(self.alarms.cluster.wake)
        self.unknown_types = UnknownTypes(ChainMap[str, Any](outbox.task_types, outbox.handler_types), hooks)
        self.lookout = Lookout(settings.tick, settings.heartbeat_seconds, self.unknown_types, share.epochs)
        if not destinations and not outbox.handler_types:
            self.lookout.look_for_nobody()
        self.look_anew = partial(self.alarms.on_change, self.lookout)
        rhythm = Rhythm(settings.lease_seconds, settings.heartbeat_seconds)
        self._bulletin: Bulletin | None = None  # of a registry of somebody else's, none is kept
        self.registry = self._registry(instance, rhythm, registry)
        self.cluster = Cluster(self.registry, rhythm, hooks, self.alarms.cluster.wake)
        self.ownership = self.cluster.ownership_of(
            OUTBOX_JOB,
            outbox.shard_count,
            _allocation(settings, self.registry.instance),
            share=share,
            news=News(self.look_anew, self.alarms.on_view),
        )
        interval = settings.configuration_interval_seconds
        self.types = TypesInForce(outbox, instance.engine, interval, hooks, self.look_anew)
        self.scope = Scope(self.ownership, self.types, self.lookout)

    def publish(self, informant: Informant) -> None:
        """Let the instance's row tell this from now on."""
        if self._bulletin is not None:
            self._bulletin.ask(informant)

    def _registry(self, instance: Instance, rhythm: Rhythm, given: GivenRegistry) -> Registry:
        """Return what was given, or what it makes of the database's, or that by itself."""
        if given is not None and not isinstance(given, RegistryMaker):
            return given
        name = instance_name() if given is None else given.instance_name()
        own = DatabaseRegistry(instance.engine, instance.outbox, name, rhythm, self.lookout)
        self._bulletin = own.bulletin
        return own if given is None else given.make(own)


def _allocation(settings: SchedulerSettings, instance: str) -> Allocation:
    if settings.instance_count is None:
        return SharedOut(OUTBOX_JOB, strategy_of(settings.sharding_strategy))
    return Fixed(instance, settings.instance_index, settings.instance_count)
