"""Who is there: the instances that are recorded, and the owners of the outbox's shards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.scheduler.cluster import queries
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.telling.instance_state import InstanceState, state_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Tell of one instance; ``state`` is what it tells of itself, None if it tells nothing."""

    name: str
    jobs: tuple[str, ...]
    lease_seconds_left: float  # 0 or less: it has died, or is about to be found dead
    is_leaving: bool  # it takes no shards: it is being drained, stops, or has fixed shares
    state: InstanceState | None

    @property
    def is_drained(self) -> bool:
        """Tell whether somebody, or its own end, took it from the candidates; one with fixed shares never was one."""
        return self.is_leaving and self.state is not None and "instance_count" not in self.state.settings


def recorded_members(connection: Connection, outbox: Outbox) -> list[Member]:
    """Return the instances whose memberships are recorded, by name; those that died lately, too."""
    found = connection.execute(queries.read_members(outbox.instances)).all()
    members = []
    for name, group in groupby(found, key=lambda row: row.instance):
        rows = list(group)
        states = (state for row in rows if (state := state_from(row.state)) is not None)
        members.append(
            Member(
                name=name,
                jobs=tuple(row.job for row in rows),
                lease_seconds_left=max(float(row.seconds_left) for row in rows),
                is_leaving=all(bool(row.leaving) for row in rows),
                state=next(states, None),
            )
        )
    return members


class Shards(NamedTuple):
    """Tell the owner of each shard of the outbox, None of one whose lease ran out; and whether any ever had one."""

    owners: dict[int, str | None]
    were_owned: bool  # False: no scheduler has been here yet, and who writes to them has recorded them


def recorded_shards(connection: Connection, outbox: Outbox) -> Shards:
    """Return the shards that are recorded."""
    rows = [row for row in connection.execute(queries.read_owners(outbox.shards)) if row.job == OUTBOX_JOB]
    owners = {row.shard: row.owner if row.owner and row.seconds_left > 0 else None for row in rows}
    return Shards(owners, any(row.epoch for row in rows))
