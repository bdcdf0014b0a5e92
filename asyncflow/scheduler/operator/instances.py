"""The running instances and the shards: looked at, and an instance drained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from asyncflow.errors import OptionError, nearest
from asyncflow.outbox import Outbox
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator import look_queries
from asyncflow.scheduler.operator.audit import Act, Subject, noting
from asyncflow.scheduler.telling.instance_state import InstanceState, state_from
from asyncflow.text import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceView:
    """Tell of one instance; ``state`` is what it tells of itself, None if it tells nothing."""

    name: str
    jobs: tuple[str, ...]
    shards: int  # of the outbox that it owns
    lease_seconds_left: float  # 0 or less: it has died, or is about to be found dead
    is_leaving: bool  # it takes no shards: it is being drained, stops, or has fixed shares
    state: InstanceState | None


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
        owned: dict[str, int] = {}
        for row in connection.execute(cluster_queries.read_owners(self._outbox.shards)):
            if row.job == OUTBOX_JOB and row.owner and row.seconds_left > 0:
                owned[row.owner] = owned.get(row.owner, 0) + 1
        members: dict[str, list[Any]] = {}
        for row in connection.execute(cluster_queries.read_members(self._outbox.instances)):
            members.setdefault(row.instance, []).append(row)
        return [_instance(name, rows, owned.get(name, 0)) for name, rows in members.items()]


def _instance(name: str, rows: list[Any], shards: int) -> InstanceView:
    states = [state for row in rows if (state := state_from(row.state)) is not None]
    return InstanceView(
        name=name,
        jobs=tuple(row.job for row in rows),
        shards=shards,
        lease_seconds_left=max(float(row.seconds_left) for row in rows),
        is_leaving=all(bool(row.leaving) for row in rows),
        state=states[0] if states else None,
    )


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
