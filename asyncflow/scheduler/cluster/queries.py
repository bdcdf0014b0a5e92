"""The statements about who owns what, each a named function. Leases are written and judged by the database's clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    Connection,
    Delete,
    Integer,
    Select,
    String,
    Table,
    Update,
    bindparam,
    case,
    delete,
    exists,
    false,
    insert,
    null,
    or_,
    select,
    tuple_,
    update,
)

from asyncflow.outbox.clock import NO_TIME, database_now, seconds_until
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.queries import insert_absent

FORGOTTEN_AFTER = timedelta(minutes=10)
_ROWS_A_STATEMENT = 500


def _wanted(name: str, kind: Any) -> Any:
    return bindparam(name, expanding=True, type_=kind)


# -- fencing ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def hold_epochs(shards: Table, *, skip_locked: bool = False) -> Select[Any]:
    """Read owner and epoch of some ``shards`` of ``job`` and keep them from changing until the transaction ends.

    Waits for those that somebody else changes, or skips them.
    """
    s = shards.c
    wanted = s.shard.in_(_wanted("shards", Integer()))
    rows = select(s.shard, s.owner, s.epoch).where(s.job == bindparam("its_job"), wanted)
    return rows.with_for_update(read=True, skip_locked=skip_locked)


# -- shards ----------------------------------------------------------------------------------------------


def insert_shards(connection: Connection, shards: Table, job: str, count: int) -> int:
    """Write the rows of all shards of ``job``, unowned; leave existing ones as they are; return how many are new."""
    marks = {"disabled": False, "misfire": False, "running": False}
    rows = ({"job": job, "shard": shard, "epoch": 0, **marks} for shard in range(count))
    return sum(insert_absent(connection, shards, chunk) for chunk in _chunks(rows))


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(islice(rows, _ROWS_A_STATEMENT)):
        yield chunk


@lru_cache(maxsize=32)
def recorded_shards(shards: Table) -> Select[Any]:
    """Read the numbers of the shards of ``its_job``."""
    return select(shards.c.shard).where(shards.c.job == bindparam("its_job"))


@lru_cache(maxsize=32)
def read_owners(shards: Table) -> Select[Any]:
    """Read job, shard, owner, epoch, seconds of the lease left and until it begins, of every shard.

    One that is still to begin was written before the clock was set back.
    """
    s = shards.c
    lease = (seconds_until(s.lease_until).label("seconds_left"), seconds_until(s.acquired_at).label("begins_in"))
    return select(s.job, s.shard, s.owner, s.epoch, *lease).order_by(s.job, s.shard)


@lru_cache(maxsize=32)
def acquire_shards(shards: Table) -> Update:
    """Make ``its_owner`` the owner of those of ``shards`` that nobody owns any more, and raise their epochs.

    A lease that begins later than now was written before the clock was set back. Its owner, if it lives, renews it
    sooner than who asks has seen it run out; if it does not, the lease must not stand until the clock has come so far.
    """
    s = shards.c
    has_no_lease = or_(s.owner.is_(None), s.lease_until.is_(None))
    free = or_(has_no_lease, s.lease_until <= database_now(), s.acquired_at > database_now())
    return _change_owner(shards).where(free)


@lru_cache(maxsize=32)
def take_over_shards(shards: Table, *, in_epochs: bool = False) -> Update:
    """Make ``its_owner`` the owner of those of ``shards`` that one of the ``dead`` owns, and raise their epochs.

    With ``in_epochs``, of those alone that are among ``its_epochs``, which are pairs of shard and epoch.
    """
    s = shards.c
    taken = _change_owner(shards).where(s.owner.in_(_wanted("dead", String())))
    return taken.where(tuple_(s.shard, s.epoch).in_(bindparam("its_epochs", expanding=True))) if in_epochs else taken


@lru_cache(maxsize=32)
def seize_shards(shards: Table) -> Update:
    """Make ``its_owner`` the owner of ``shards``, whoever owns them, and raise their epochs."""
    return _change_owner(shards)


@lru_cache(maxsize=32)
def hand_over_shards(shards: Table, instances: Table) -> Update:
    """Make ``its_owner`` the owner of those of ``shards`` that ``former`` still owns, and raise their epochs.

    Nothing changes for one that is leaving or has left: it would not see them any more, and nobody else could have
    them before the lease ran out.
    """
    i = instances.c
    its = (i.job == bindparam("its_job"), i.instance == bindparam("its_owner"), i.leaving == false())
    return _change_owner(shards).where(shards.c.owner == bindparam("former"), exists().where(*its))


def _change_owner(shards: Table) -> Update:
    wanted = shards.c.shard.in_(_wanted("shards", Integer()))
    return (
        update(shards)
        .where(shards.c.job == bindparam("its_job"), wanted)
        .values(
            owner=bindparam("its_owner"),
            epoch=shards.c.epoch + 1,
            lease_until=bindparam("lease", type_=shards.c.lease_until.type),
            acquired_at=NO_TIME,
        )
    )


@lru_cache(maxsize=32)
def renew_shards(shards: Table) -> Update:
    """Let the leases of all shards of ``its_owner`` begin now and end ``lease`` from now."""
    lease = bindparam("lease", type_=shards.c.lease_until.type)
    mine = shards.c.owner == bindparam("its_owner")
    return update(shards).where(mine).values(lease_until=lease, acquired_at=NO_TIME)


@lru_cache(maxsize=32)
def lock_shards(shards: Table, *, skip_locked: bool) -> Select[Any]:
    """Lock ``shards`` of a job, waiting for those that others have locked, or not; read their numbers."""
    wanted = shards.c.shard.in_(_wanted("shards", Integer()))
    rows = select(shards.c.shard).where(shards.c.job == bindparam("its_job"), wanted)
    return rows.with_for_update(skip_locked=skip_locked)


@lru_cache(maxsize=32)
def shards_of(shards: Table) -> Select[Any]:
    """Read the shards of ``its_owner``: job and number."""
    return select(shards.c.job, shards.c.shard).where(shards.c.owner == bindparam("its_owner"))


@lru_cache(maxsize=32)
def renew_some_shards(shards: Table) -> Update:
    """Let the leases of those of ``shards`` of a job that ``its_owner`` has end ``lease`` from now."""
    wanted = (shards.c.job == bindparam("its_job"), shards.c.shard.in_(_wanted("shards", Integer())))
    return renew_shards(shards).where(*wanted)


@lru_cache(maxsize=32)
def release_shards(shards: Table) -> Update:
    """Leave all shards of ``its_job`` that ``its_owner`` has without an owner; their epochs stay."""
    mine = (shards.c.job == bindparam("its_job"), shards.c.owner == bindparam("its_owner"))
    return update(shards).where(*mine).values(owner=null(), lease_until=null())


# -- members ---------------------------------------------------------------------------------------------


def insert_member(
    connection: Connection, instances: Table, its: Mapping[str, str], lease: timedelta, *, leaving: bool = False
) -> None:
    """Make ``its_instance`` a member of ``its_job``, whatever it was; one that is ``leaving`` is no candidate."""
    connection.execute(delete_member(instances), its)
    values = {"job": its["its_job"], "instance": its["its_instance"], "joined_at": NO_TIME, "lease_until": lease}
    connection.execute(insert(instances), {**values, "leaving": leaving})


@lru_cache(maxsize=32)
def renew_member(instances: Table, *, tells: bool = False) -> Update:
    """Let the leases of ``its_instance`` begin now and end ``lease`` from now, in all jobs.

    If it ``tells``, write ``its_state`` into the row of ``telling_job``: one row is enough.
    """
    i = instances.c
    lease = bindparam("lease", type_=i.lease_until.type)
    renewed = update(instances).where(i.instance == bindparam("its_instance"))
    renewed = renewed.values(lease_until=lease, joined_at=NO_TIME)
    if not tells:
        return renewed
    tells_here = i.job == bindparam("telling_job", type_=i.job.type)
    return renewed.values(state=case((tells_here, bindparam("its_state", type_=i.state.type)), else_=i.state))


@lru_cache(maxsize=32)
def read_members(instances: Table) -> Select[Any]:
    """Read of every membership job, instance, seconds of its lease left, whether it leaves, and what it tells."""
    i = instances.c
    left = seconds_until(i.lease_until).label("seconds_left")
    return select(i.job, i.instance, left, i.leaving, i.state).order_by(i.instance, i.job)


@lru_cache(maxsize=32)
def mark_drained(instances: Table, *, leaving: bool) -> Update:
    """Take ``its_instance`` from the candidates of all of its jobs, or let it be one again."""
    return update(instances).where(instances.c.instance == bindparam("its_instance")).values(leaving=leaving)


@lru_cache(maxsize=32)
def renew_memberships(instances: Table) -> Update:
    """Do so in some ``jobs`` alone, and tell nothing."""
    return renew_member(instances).where(instances.c.job.in_(_wanted("jobs", String())))


@lru_cache(maxsize=32)
def lock_memberships(instances: Table, *, skip_locked: bool) -> Select[Any]:
    """Lock the memberships of ``its_instance`` in ``jobs``, waiting for them, or not; read the jobs."""
    i = instances.c
    its = (i.job.in_(_wanted("jobs", String())), i.instance == bindparam("its_instance"))
    return by_primary_key(select(i.job).where(*its).with_for_update(skip_locked=skip_locked))


@lru_cache(maxsize=32)
def lock_members(instances: Table, *, skip_locked: bool) -> Select[Any]:
    """Lock the members ``names`` of ``its_job``, waiting for them, or not; read their names."""
    i = instances.c
    its = (i.job == bindparam("its_job"), i.instance.in_(_wanted("names", String())))
    return by_primary_key(select(i.instance).where(*its).with_for_update(skip_locked=skip_locked))


@lru_cache(maxsize=32)
def mark_leaving(instances: Table) -> Update:
    """Take ``its_instance`` from the candidates for the shards of ``its_job``."""
    its = (instances.c.job == bindparam("its_job"), instances.c.instance == bindparam("its_instance"))
    return update(instances).where(*its).values(leaving=True)


@lru_cache(maxsize=32)
def delete_member(instances: Table) -> Delete:
    """End a membership."""
    i = instances.c
    return delete(instances).where(i.job == bindparam("its_job"), i.instance == bindparam("its_instance"))


@lru_cache(maxsize=32)
def forget_members(instances: Table) -> Delete:
    """Delete those of the members ``names`` of ``its_job`` whose leases ran out long ago."""
    i = instances.c
    its = (i.job == bindparam("its_job"), i.instance.in_(_wanted("names", String())))
    return by_primary_key(delete(instances).where(*its, i.lease_until < -FORGOTTEN_AFTER))
