"""What must be true before an instance is made, and before it starts: told then, and not by the first task."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Engine, QueuePool

from asyncflow.errors import OptionError, UnroutedDestinationError
from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.scheduler.connections.engine_check import require_engine
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.loops.callers_loop import AtHome
from asyncflow.scheduler.publishing.publisher import Publisher
from asyncflow.scheduler.publishing.taken import require_taken
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.table.table_check import require_tables
from asyncflow.scheduler.task_queue import TaskQueue
from asyncflow.scheduler.telling.versions_beside import require_versions
from asyncflow.scheduler.worker.handler_call import no_async_engine
from asyncflow.text import a_type_of, shown

_OF_A_LOOP = 2  # the second writer settles while there is a backlog
_HEARTBEAT, _CONFIGURATION, _FOR_MOMENTS = 1, 1, 1


def require_given(outbox: Any, publishers: Any, queues: Any) -> None:
    """Raise OptionError unless these are an Outbox, publishers by their destinations, and queues by their names."""
    if not isinstance(outbox, Outbox):
        raise OptionError(f"outbox is {shown(outbox)}; give the Outbox that declares what is to be done")
    if not isinstance(publishers, Mapping):
        raise OptionError(
            f"publishers is {a_type_of(publishers)}; give them by their destinations, as {{destination: publisher}}, "
            f"or {{}} where only handlers are declared"
        )
    for destination, publisher in publishers.items():
        _require_publisher(destination, publisher)
    if not isinstance(queues, Mapping):
        raise OptionError(f"queues is {a_type_of(queues)}; give them by their names, as {{name: queue}}")
    for name, queue in queues.items():
        if isinstance(queue, type) or not isinstance(queue, TaskQueue):
            raise OptionError(f"the queue {shown(name)} is {shown(queue)}; give one such as RedisQueue(url)")


def _require_publisher(destination: Any, publisher: Any) -> None:
    """Raise OptionError unless it can be called as a publisher is."""
    methods = [getattr(publisher, name, None) for name in ("publish", "close")]
    if isinstance(publisher, type) or not all(map(callable, methods)):
        raise OptionError(
            f"the publisher of {shown(destination)} is {shown(publisher)}; give an object with publish and close"
        )
    for name, method in zip(("publish", "close"), methods, strict=True):
        if inspect.iscoroutinefunction(method):
            raise OptionError(
                f"{name} of the publisher of {shown(destination)} is a coroutine function; give a function, for which "
                f"a thread of the scheduler waits"
            )


def require_makeable(instance: Instance, publishers: Mapping[str, Publisher]) -> None:
    """Raise what keeps the instance from being made: OptionError or UnroutedDestinationError."""
    require_routes(instance.outbox, publishers)
    require_queues(instance)
    require_share(instance.settings, instance.outbox)
    require_one_retention(instance.settings, instance.outbox)


def require_declared(instance: Instance, publishers: Mapping[str, Publisher]) -> None:
    """Raise what keeps the instance from starting, whatever the database: types may have been declared since.

    Raises UnroutedDestinationError or OptionError.
    """
    outbox, engine = instance.outbox, instance.engine
    require_routes(outbox, publishers)
    require_queues(instance)
    require_taken(outbox, publishers)
    require_home(outbox, instance.at_home)
    require_told(outbox)
    require_connections(engine, len(publishers) + len(instance.queues) + bool(outbox.handler_types))
    require_archive(instance.settings)


def require_database(instance: Instance) -> None:
    """Raise what keeps it from starting in its database, or what that raises.

    OptionError, TablesMissingError, or IncompatibleVersionError.
    """
    require_engine(instance.engine, instance.outbox)
    require_tables(instance.engine, instance.outbox, writes=True)
    require_versions(instance.engine, instance.outbox)


def require_routes(outbox: Outbox, destinations: Collection[str]) -> None:
    """Raise UnroutedDestinationError for a declared type that none of the destinations' publishers would publish.

    Of a captured type they publish no more than what was written before it was one.
    """
    for task_type in outbox.task_types.values():
        if not task_type.captured and task_type.destination not in destinations:
            given = ", ".join(map(repr, destinations)) or "none"
            raise UnroutedDestinationError(
                f"the task type {task_type.name!r} goes to {task_type.destination!r}, for which there is no "
                f"publisher (given: {given}); add it to publishers={{...}} or change the destination"
            )


def require_queues(instance: Instance) -> None:
    """Raise OptionError for a declared type that goes by a queue which is not there."""
    for name, kind in instance.outbox.handler_types.items():
        if kind.queue is not None and kind.queue not in instance.queues:
            given = ", ".join(map(repr, instance.queues)) or "none"
            raise OptionError(
                f"the tasks of {name!r} go by the queue {kind.queue!r}, which is not there (given: {given}); add it to "
                f"queues={{...}}, or change the type's queue"
            )


def require_home(outbox: Outbox, at_home: AtHome | None) -> None:
    """Raise OptionError if a handler is a transactional coroutine and there is no AsyncEngine for it."""
    for name, kind in outbox.handler_types.items():
        if kind.is_coroutine and kind.transactional and at_home is None:
            raise no_async_engine(name)


def require_told(outbox: Outbox) -> None:
    """Raise UnknownTaskTypeError if outcomes are to be told by messages of a type that is not declared."""
    for kind in outbox.handler_types.values():
        outbox.told_to(kind)


def require_share(settings: SchedulerSettings, outbox: Outbox) -> None:
    """Raise OptionError if a fixed share of one of the instances would be empty."""
    if settings.instance_count is not None and settings.instance_count > outbox.shard_count:
        raise OptionError(
            f"instance_count is {settings.instance_count}, but there are {outbox.shard_count} shards to share; "
            f"give at most {outbox.shard_count}"
        )


def require_one_retention(settings: SchedulerSettings, outbox: Outbox) -> None:
    """Raise OptionError if finished tasks are to roll over, and to be deleted by their rows as well."""
    if outbox.numbered_tables is None:
        return
    if settings.on_success == "delete":
        raise OptionError(
            "on_success is 'delete', and the outbox has roll_over, which has nothing to move then: leave one of them "
            "out"
        )
    if settings.success_retention_seconds != SchedulerSettings().success_retention_seconds:
        raise OptionError(
            f"success_retention_seconds is {settings.success_retention_seconds!r}, and the outbox has roll_over: give "
            f"`keep` of RollOver in place of it"
        )


def require_archive(settings: SchedulerSettings) -> None:
    """Raise OptionError if rows are to be archived where this process cannot write."""
    directory = settings.archive_directory
    if directory is None:
        return
    if not os.path.isdir(directory):
        raise OptionError(f"archive_directory is {directory!r}, which is no directory here; create it, or mount it")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OptionError(f"archive_directory is {directory!r}, where this process may not write; give it the right")


def require_connections(engine: Engine, loops: int) -> None:
    """Raise OptionError if the pool has too few for ``loops`` that relay or handle, and for what runs beside them.

    One that is too small would hold them all up, and say little.
    """
    # Where the database has one writer, so has each loop.
    of_a_loop = _OF_A_LOOP if dialect_of(engine.dialect.name).locks_rows else 1
    least = loops * of_a_loop + _HEARTBEAT + _CONFIGURATION + _FOR_MOMENTS
    most = _most_connections(engine)
    if most is not None and most < least:
        raise OptionError(
            f"the engine's pool gives at most {most} connection{'s' if most > 1 else ''}, and this scheduler works "
            f"with at least {least}; give it an engine of its own, or create_engine(..., pool_size={2 * least})"
        )


def _most_connections(engine: Engine) -> int | None:
    """Return how many the pool gives at once; None if it sets no bound, or is one that does not wait."""
    pool = engine.pool
    if not isinstance(pool, QueuePool) or pool.size() == 0:
        return None
    overflow: int = pool._max_overflow  # nothing public tells it
    return None if overflow < 0 else pool.size() + overflow
