"""The statements of the diagnosis, each a named function that examines a bounded number of rows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Executable,
    Integer,
    Select,
    String,
    Table,
    bindparam,
    func,
    select,
)

from asyncflow.outbox.clock import Instant, database_now
from asyncflow.outbox.dialects import DatabaseDialect
from asyncflow.outbox.dialects.raw_ids import raw_id
from asyncflow.outbox.queries import A_TABLE_EACH
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import TaskId
from asyncflow.scheduler.heads.queries import Lane

_LAST_ERROR = 600  # characters: a line of a log has fewer
_MOST: Any = bindparam("most", type_=Integer())
_TYPE: Any = bindparam("its_type", type_=String())
_STATUS: Any = bindparam("its_status", type_=Integer())


@lru_cache(maxsize=32)
def switches(cfgs: Table) -> Select[Any]:
    """Read of some ``types`` whether they are switched on or off, NULL as declared."""
    wanted = cfgs.c.task_type.in_(bindparam("types", expanding=True, type_=String()))
    return select(cfgs.c.task_type, cfgs.c.enabled).where(wanted)


@lru_cache(maxsize=32)
def parked(keys: Table) -> Select[Any]:
    """Read the first ``most`` parked keys."""
    k = keys.c
    return select(k.task_type, k.task_key, k.since, k.due, k.blocked_by).order_by(k.task_type, k.task_key).limit(_MOST)


@lru_cache(maxsize=32)
def parked_key(keys: Table) -> Select[Any]:
    """Read one parked key."""
    k = keys.c
    its = (k.task_type == _TYPE, k.task_key == bindparam("its_key", type_=String()))
    return select(k.since, k.due, k.blocked_by).where(*its)


@lru_cache(maxsize=32)
def rows_of_type(tasks: Table) -> Select[Any]:
    """Read the first ``most`` rows of a type in a status: id, how often they were tried, and their log."""
    t = tasks.c
    rows = select(t.id, t.retry_count, t.schedule_log, t.modified_at).where(t.status == _STATUS, t.task_type == _TYPE)
    return rows.order_by(t.shard, t.order_time).limit(_MOST)


@lru_cache(maxsize=32)
def some_at_work(tasks: Table) -> Select[Any]:
    """Read the id of a row of a type that somebody works on, if there is one."""
    t = tasks.c
    return select(t.id).where(t.status == int(Status.PROCESSING), t.task_type == _TYPE).limit(1)


@lru_cache(maxsize=A_TABLE_EACH)
def one_task(tasks: Table) -> Select[Any]:
    """Read what decides when one task is tried."""
    t = tasks.c
    columns = (t.id, t.task_type, t.task_key, t.shard, t.status, t.order_time, t.next_select_time, t.retry_count)
    more = (t.max_retries, t.owner, t.created_at, t.modified_at, t.schedule_log)
    return select(*columns, *more, database_now().label("now")).where(t.id == bindparam("its_id", type_=TaskId()))


@lru_cache(maxsize=32)
def count_ahead(tasks: Table) -> Select[Any]:
    """Count the rows of a lane that go before one, up to ``most``."""
    t = tasks.c
    before = t.order_time < bindparam("its_time", type_=Instant())
    lane = (t.status == int(Status.PENDING), t.task_type == _TYPE, t.shard == bindparam("its_shard", type_=Integer()))
    rows = select(t.order_time).where(*lane, before).order_by(t.order_time).limit(_MOST)
    return select(func.count()).select_from(rows.subquery("ahead"))


@lru_cache(maxsize=32)
def newest(tasks: Table) -> Select[Any]:
    """Read id and task type of the ``most`` newest tasks, from the id ``first`` on."""
    t = tasks.c
    wanted = t.id >= bindparam("first", type_=TaskId())
    return select(t.id, t.task_type).where(wanted).order_by(t.id.desc()).limit(_MOST)


@lru_cache(maxsize=32)
def newest_failed(tasks: Table, dialect: DatabaseDialect) -> Select[Any]:
    """Read of up to ``most`` lanes with dead letters task type, shard, and how many seconds ago the newest came."""
    statement: Any = dialect.heads(tasks, int(Status.FAILED), newest=True).limit(_MOST)
    task_type, shard, seconds, _ = statement.subquery("heads").columns
    return select(task_type, shard, seconds).order_by(seconds.desc())


def dead_letters(tasks: Table, lanes: Iterable[Lane], limit: int, dialect: DatabaseDialect) -> Executable:
    """Read the newest dead letters of each lane, of each log its beginning, which is the last error."""
    t = tasks.c
    last_error = func.substr(t.schedule_log, 1, _LAST_ERROR, type_=String()).label("schedule_log")
    columns = (t.id, raw_id(t.id).label("raw_id"), t.task_type, t.shard, t.order_time, last_error)
    failed = select(*columns).where(t.status == int(Status.FAILED)).order_by(t.order_time.desc()).limit(limit)
    return dialect.pages([failed.where(t.task_type == name, t.shard == shard) for name, shard in lanes])
