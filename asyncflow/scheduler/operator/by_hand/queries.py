"""The statements of what a person has done out of its turn, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Select, Table, Update, bindparam, false, select, update

from asyncflow.outbox.clock import NO_TIME, Instant, database_now
from asyncflow.outbox.tables import TaskId


@lru_cache(maxsize=32)
def owe_runs(shards: Table) -> Update:
    """Mark the items of ``its_job`` as owed a run, but for those that are switched off."""
    s = shards.c
    its = s.job == bindparam("its_job", type_=s.job.type)
    return update(shards).where(its, s.disabled == false()).values(misfire=True)


@lru_cache(maxsize=32)
def be_due_now(periodic: Table) -> Update:
    """Let ``its_name`` be due now, if it is due later, and not paused."""
    p = periodic.c
    later = p.next_due > database_now()
    is_paused = p.next_due >= bindparam("never", type_=Instant())
    named = p.name == bindparam("its_name", type_=p.name.type)
    return update(periodic).where(named, later, ~is_paused).values(next_due=database_now(), modified_at=NO_TIME)


@lru_cache(maxsize=32)
def be_due_at(periodic: Table, *, was_paused: bool) -> Update:
    """Let ``its_name`` be due at ``its_due``, if it is paused, or is not."""
    p = periodic.c
    named = p.name == bindparam("its_name", type_=p.name.type)
    never = bindparam("never", type_=Instant())
    state = p.next_due >= never if was_paused else p.next_due < never
    due = bindparam("its_due", type_=Instant())
    return update(periodic).where(named, state).values(next_due=due, modified_at=NO_TIME)


@lru_cache(maxsize=32)
def notes(entries: Table) -> Select[Any]:
    """Read the latest ``most`` notes about the subjects ``ids``, latest first."""
    e = entries.c
    about = e.task_id.in_(bindparam("ids", expanding=True, type_=TaskId()))
    columns = (e.task_key, e.at, e.actor, e.reason)
    latest = select(*columns).where(about, e.action == "note").order_by(e.at.desc(), e.id.desc())
    return latest.limit(bindparam("most", type_=Integer()))
