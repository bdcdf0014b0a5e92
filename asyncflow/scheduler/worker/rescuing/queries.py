"""The statements of the rescue of claimed tasks, each a named function; each write asks again what was read."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Integer, Select, String, Table, Update, and_, bindparam, or_, select, true, update
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import after_now, database_now, epoch_seconds, seconds_until
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import is_named, raw_id
from asyncflow.outbox.status import Status
from asyncflow.scheduler.table.claim_owner import SUSPECT
from asyncflow.scheduler.table.queries import has_status
from asyncflow.scheduler.worker.claiming.queries import ended, its_time_has_come, pending_again


@lru_cache(maxsize=32)
def ran_out(tasks: Table) -> Select[Any]:
    """Read rows of a lane whose claim ran out, longest ago first."""
    t = tasks.c
    return (
        select(raw_id(t.id), t.retry_count, t.max_retries, t.owner, t.claim_token, t.headers)
        .where(
            t.status == int(Status.PROCESSING),
            t.order_time <= database_now(),
            t.task_type == bindparam("task_type", type_=String()),
            t.shard == bindparam("shard", type_=Integer()),
        )
        .order_by(t.order_time)
        .limit(bindparam("limit", type_=Integer()))
    )


@lru_cache(maxsize=32)
def give_back(tasks: Table) -> Update:
    """Let rows whose claim has run out, and was not renewed since, be due again after ``delay``."""
    return by_primary_key(update(tasks)).where(_ran_out_still(tasks)).values({**pending_again(tasks), "owner": SUSPECT})


@lru_cache(maxsize=32)
def end_ran_out(tasks: Table) -> Update:
    """Give rows whose claim has run out, and was not renewed since, a last status."""
    return by_primary_key(update(tasks)).where(_ran_out_still(tasks)).values(ended(tasks))


@lru_cache(maxsize=32)
def held_by(tasks: Table) -> Select[Any]:
    """Read rows of a lane that ``owners`` hold, however long their claims last."""
    t = tasks.c
    return (
        select(raw_id(t.id), t.retry_count, t.max_retries, t.owner, t.claim_token, t.headers)
        .where(
            t.status == int(Status.PROCESSING),
            t.task_type == bindparam("task_type", type_=String()),
            t.shard == bindparam("shard", type_=Integer()),
            _is_owned_by(tasks),
        )
        .limit(bindparam("limit", type_=Integer()))
    )


@lru_cache(maxsize=32)
def take_back(tasks: Table) -> Update:
    """Let rows that ``owners`` still hold be due again after ``delay``."""
    return (
        by_primary_key(update(tasks)).where(_held_by_owners(tasks)).values({**pending_again(tasks), "owner": SUSPECT})
    )


@lru_cache(maxsize=32)
def end_taken(tasks: Table) -> Update:
    """Give rows that ``owners`` still hold a last status."""
    return by_primary_key(update(tasks)).where(_held_by_owners(tasks)).values(ended(tasks))


@lru_cache(maxsize=32)
def live_owners(instances: Table) -> Select[Any]:
    """Read which of ``owners`` are members of any job by a lease that runs."""
    i = instances.c
    its = i.instance.in_(bindparam("owners", expanding=True, type_=String()))
    return select(i.instance).where(its, i.lease_until > database_now(), i.joined_at <= database_now())


@lru_cache(maxsize=32)
def ahead(tasks: Table, *, all_held: bool) -> Select[Any]:
    """Read held rows of ``types`` and ``shards`` whose claims end later than ``longest`` microseconds from now.

    ``all_held``: or that begin later than now, as they were written before the clock was set back. No index tells.
    """
    t = tasks.c
    its_lease = (
        epoch_seconds(t.order_time).label("ends_at"),
        epoch_seconds(t.modified_at).label("began_at"),
        seconds_until(t.order_time).label("seconds_left"),
        seconds_until(t.modified_at).label("begins_in"),
    )
    return (
        select(raw_id(t.id), t.retry_count, t.max_retries, t.owner, t.claim_token, t.task_type, t.headers, *its_lease)
        .where(
            t.status == int(Status.PROCESSING),
            t.task_type.in_(bindparam("types", expanding=True, type_=String())),
            t.shard.in_(bindparam("shards", expanding=True, type_=Integer())),
            _is_ahead(tasks) if all_held else _ends_beyond_all(tasks),
        )
        .limit(bindparam("limit", type_=Integer()))
    )


@lru_cache(maxsize=32)
def give_back_ahead(tasks: Table) -> Update:
    """Let rows whose claims are still ahead of the clock be due again after ``delay``."""
    return by_primary_key(update(tasks)).where(_ahead_still(tasks)).values({**pending_again(tasks), "owner": SUSPECT})


@lru_cache(maxsize=32)
def end_ahead(tasks: Table) -> Update:
    """Give rows whose claims are still ahead of the clock a last status."""
    return by_primary_key(update(tasks)).where(_ahead_still(tasks)).values(ended(tasks))


def _ran_out_still(tasks: Table) -> ColumnElement[bool]:
    return and_(is_named(tasks.c.id), has_status(tasks, Status.PROCESSING), its_time_has_come(tasks))


def _held_by_owners(tasks: Table) -> ColumnElement[bool]:
    return and_(is_named(tasks.c.id), has_status(tasks, Status.PROCESSING), _is_owned_by(tasks))


def _is_owned_by(tasks: Table) -> ColumnElement[bool]:
    return tasks.c.owner.in_(bindparam("owners", expanding=True, type_=String()))


def _ahead_still(tasks: Table) -> ColumnElement[bool]:
    return and_(is_named(tasks.c.id), has_status(tasks, Status.PROCESSING), _is_ahead(tasks).is_(true()))


def _is_ahead(tasks: Table) -> ColumnElement[bool]:
    begins_later = tasks.c.modified_at > database_now()
    return or_(begins_later, _ends_beyond_all(tasks))


def _ends_beyond_all(tasks: Table) -> ColumnElement[bool]:
    return tasks.c.order_time > after_now(bindparam("longest", type_=BigInteger()))
