"""The running instances and the shards: looked at, and an instance drained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Engine

from asyncflow.errors import OptionError, nearest
from asyncflow.outbox import Outbox
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator import look_queries
from asyncflow.scheduler.operator.audit import Act, Subject, noting
from asyncflow.scheduler.telling.roll_call import Member, recorded_members, recorded_shards
from asyncflow.text import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceView(Member):
    """Tell of one instance, and of how much it owns."""

    shards: int  # of the outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardView:
    """Tell of one shard; without an owner, or with a lease that ran out, nobody reads it."""

    shard: int
    owner: str | None
    epoch: int
    lease_seconds_left: float | None
    disabled: bool
    running: bool
    misfire: bool


class Instances:
    """Look at the instances and drain them; each call is a transaction of its own, and any thread may call."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox

    def all(self) -> list[InstanceView]:
        """Return the instances whose memberships are recorded, by name."""
        return run_briefly(self._engine, self._read)

    def shards(self, job: str = OUTBOX_JOB) -> list[ShardView]:
        """Return the shards of the outbox, or the items of a job."""
        statement = look_queries.shards(self._outbox.shards)
        rows = run_briefly(self._engine, lambda connection: connection.execute(statement, {"its_job": job}).all())
        return [_shard(row) for row in rows]

    def drain(self, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Let an instance hand its shards over to the others, finish what it has in hand, and take no more.

        It goes on running, and is back after ``undrain`` or a restart. With an ``actor`` the audit tells who did it.
        Raises OptionError for one that is not there, or has fixed shares, which nobody else would take.
        """
        self._change(name, None if actor is None else Act("drain", actor, reason), leaving=True)

    def undrain(self, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Let an instance that was drained take shards again; raises OptionError as ``drain`` does."""
        self._change(name, None if actor is None else Act("undrain", actor, reason), leaving=False)

    def _change(self, name: str, act: Act | None, *, leaving: bool) -> None:
        known = {one.name: one for one in self.all()}
        if name not in known:
            raise OptionError(f"there is no instance {shown(name)}{nearest(name, known)}; asyncflow instances list")
        state = known[name].state
        if state is not None and "instance_count" in state.settings:
            raise OptionError(f"the instance {shown(name)} has a fixed share (instance_count); stop it instead")
        statement = cluster_queries.mark_drained(self._outbox.instances, leaving=leaving)
        note = noting(act, self._outbox.audit_entries, Subject.of("instance", name))

        def write(connection: Connection) -> None:
            connection.execute(statement, {"its_instance": name})
            note(connection)

        run_briefly(self._engine, write)

    def _read(self, connection: Connection) -> list[InstanceView]:
        owned = Counter(recorded_shards(connection, self._outbox).owners.values())
        return [_view(member, owned[member.name]) for member in recorded_members(connection, self._outbox)]


def _view(member: Member, shards: int) -> InstanceView:
    return InstanceView(**{one.name: getattr(member, one.name) for one in fields(member)}, shards=shards)


def _shard(row: Any) -> ShardView:
    return ShardView(
        shard=row.shard,
        owner=row.owner,
        epoch=row.epoch,
        lease_seconds_left=None if row.seconds_left is None else float(row.seconds_left),
        disabled=bool(row.disabled),
        running=bool(row.running),
        misfire=bool(row.misfire),
    )
