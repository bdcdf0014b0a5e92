"""What the parts of one relay share."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.scheduler.configuration.types_here import TypesHere
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.relay.keys.parking import Parking
from asyncflow.scheduler.relay.locked_rows import LockedRows


@dataclass(frozen=True)
class Shared:
    """Hold what the fetcher and the settler of one relay both use; its thread alone does.

    ``parking`` and ``locked`` know what is not to be read from the pages at present.
    """

    types: TypesHere
    database: Database
    parking: Parking
    locked: LockedRows
