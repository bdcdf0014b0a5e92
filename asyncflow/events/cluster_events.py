"""Events of the cluster: who takes part, and who owns which shards."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.events.event import Event


@dataclass(frozen=True, slots=True)
class OwnershipChanged(Event):
    """The instance owns ``shards`` of ``job`` from now on; ``lost`` are another one's, or nobody's."""

    job: str
    owner: str
    shards: tuple[int, ...]
    lost: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShardsHandedOver(Event):
    """The instance finished its work on ``shards`` of ``job`` and made ``successor`` their owner."""

    job: str
    successor: str
    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MembersChanged(Event):
    """``members`` share ``job`` from now on."""

    job: str
    members: tuple[str, ...]
