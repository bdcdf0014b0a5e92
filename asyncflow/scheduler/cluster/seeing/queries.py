"""The statements that see members and shards, and on occasion what is due, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Integer,
    Select,
    String,
    Table,
    bindparam,
    false,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import epoch_seconds, seconds_until
from asyncflow.outbox.dialects import DatabaseDialect
from asyncflow.scheduler.heads.parts import MOST_LANES

SHARD, MEMBER, HEAD = 0, 1, 2  # the kinds of what is seen; of a head its status is added


@lru_cache(maxsize=32)
def read_views(shards: Table, instances: Table) -> CompoundSelect[Any]:
    """Read the shards and the members of ``jobs``, in one statement, told apart by ``kind``.

    Columns: kind, job, shard, name of the owner or member, epoch, seconds of its lease left, disabled (of a member:
    leaving), misfire, running, ends_at and began_at of the lease in seconds since 1970.
    """
    return union_all(*_views(shards, instances))


def _views(shards: Table, instances: Table) -> tuple[Select[Any], Select[Any]]:
    jobs = bindparam("jobs", expanding=True, type_=String())
    s, i = shards.c, instances.c
    left = seconds_until(s.lease_until).label("seconds_left")
    of_shards = select(_number(SHARD).label("kind"), s.job, s.shard, s.owner, s.epoch, left)
    lease = (epoch_seconds(s.lease_until).label("ends_at"), epoch_seconds(s.acquired_at).label("began_at"))
    of_shards = of_shards.add_columns(s.disabled, s.misfire, s.running, *lease).where(s.job.in_(jobs))
    of_members = select(_number(MEMBER), i.job, _number(-1), i.instance, _number(0), seconds_until(i.lease_until))
    its_lease = (epoch_seconds(i.lease_until), epoch_seconds(i.joined_at))
    of_members = of_members.add_columns(i.leaving, false(), false(), *its_lease).where(i.job.in_(jobs))
    return of_shards, of_members


@lru_cache(maxsize=32)
def read_views_and_heads(
    shards: Table, instances: Table, tasks: Table, dialect: DatabaseDialect, statuses: tuple[int, ...]
) -> CompoundSelect[Any]:
    """Read the views, and the heads of the task types in each status with them.

    A head has its task type in the place of the job, and the seconds until it is due in that of the lease.
    """
    # All on one level: SQLite knows no unions in unions.
    return union_all(*_views(shards, instances), *(_heads(tasks, dialect, status) for status in statuses))


def _heads(tasks: Table, dialect: DatabaseDialect, status: int) -> Select[Any]:
    # One more than are wanted tells that there are too many.
    task_type, shard, due, _ = dialect.heads(tasks, status).limit(MOST_LANES + 1).subquery().columns
    nothing = (null(), _number(0), due, false(), false(), false(), _number(0), _number(0))
    return select(_number(HEAD + status), task_type, shard, *nothing)


def _number(value: int) -> ColumnElement[int]:
    return literal_column(str(value), Integer())
