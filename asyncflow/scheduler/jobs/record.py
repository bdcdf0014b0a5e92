"""A job's configuration as the database records it: the recorded one wins, unless a job overwrites it."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, Engine

from asyncflow.errors import OptionError
from asyncflow.outbox import Outbox
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.queries import insert_absent
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.cluster.strategies import STRATEGIES
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.jobs import queries
from asyncflow.scheduler.jobs.error_handlers import HANDLERS
from asyncflow.scheduler.jobs.job import Job
from asyncflow.scheduler.jobs.settings import JobSettings

# What each start decides by itself; listeners are code.
_NOT_RECORDED = ("overwrite", "disabled", "listeners")
# Names only. A module:attribute that came from a table would let whoever writes there run code here.
_RECORDED_NAMES = {"sharding_strategy": tuple(STRATEGIES), "error_handler": HANDLERS}


def record(engine: Engine, outbox: Outbox, job: Job) -> JobSettings:
    """Record the job's settings if none are recorded, or if it overwrites; return those that hold.

    Raises OptionError if what is recorded cannot be used.
    """
    return run_briefly(engine, lambda connection: _record(connection, outbox, job))


def _record(connection: Connection, outbox: Outbox, job: Job) -> JobSettings:
    jobs, settings = outbox.jobs, job.settings
    row = {
        "name": job.name,
        "config": recorded(settings),
        "sharding_total_count": settings.sharding_total_count,
        "disabled": settings.disabled,
        "modified_at": NO_TIME,
    }
    # Two instances may start at once: the second one's row is left out, and it reads the first one's.
    if insert_absent(connection, jobs, [row]):
        return settings
    if settings.overwrite:
        values = {
            "its_name": job.name,
            "its_config": row["config"],
            "its_count": row["sharding_total_count"],
            "its_disabled": row["disabled"],
        }
        connection.execute(queries.overwrite_job(jobs), values)
        _resize(connection, outbox, job.name, settings.sharding_total_count)
        return settings
    known = connection.execute(queries.read_job(jobs), {"its_name": job.name}).one()
    return _with_recorded(settings, job.name, known.config, known.sharding_total_count)


def _resize(connection: Connection, outbox: Outbox, job_name: str, count: int) -> None:
    """Have as many items as were asked for, if the job had another number of them."""
    beyond = {"its_job": job_name, "its_count": count}
    known = connection.execute(cluster_queries.recorded_shards(outbox.shards), beyond).all()
    if known and len(known) != count:
        connection.execute(queries.forget_items(outbox.shards), beyond)
        cluster_queries.insert_shards(connection, outbox.shards, job_name, count)


def recorded(settings: JobSettings) -> str:
    """Return the settings as JSON, without what only code can give."""
    options = {name: value for name, value in settings.as_options().items() if name not in _NOT_RECORDED}
    return orjson.dumps({name: value for name, value in options.items() if _is_recordable(name, value)}).decode()


def _is_recordable(name: str, value: Any) -> bool:
    return name not in _RECORDED_NAMES or (isinstance(value, str) and value in _RECORDED_NAMES[name])


def _with_recorded(settings: JobSettings, job_name: str, config: str, count: int) -> JobSettings:
    try:
        options: dict[str, Any] = {**orjson.loads(config), "sharding_total_count": count}
        taken = {
            name: value
            for name, value in options.items()
            if name not in _NOT_RECORDED
            and _is_recordable(name, value)
            and _is_recordable(name, getattr(settings, name, value))
        }
        return settings.with_options(taken)
    except (ValueError, TypeError) as error:
        raise OptionError(
            f"what the database records of the job {job_name!r} cannot be used: {error}; "
            f"mend it, or start once with overwrite=True"
        ) from error
