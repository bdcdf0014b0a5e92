"""What an instance works on."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.scheduler.cluster.ownership import Ownership
from asyncflow.scheduler.configuration.types_in_force import TypesInForce
from asyncflow.scheduler.heads.lookout import Lookout


@dataclass(frozen=True)
class Scope:
    """Hold the shards that an instance owns, the task types as they are in force, and what is seen to be due."""

    ownership: Ownership
    types: TypesInForce
    lookout: Lookout
