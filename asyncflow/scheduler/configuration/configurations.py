"""The configuration of task types, kept in a table and read again while schedulers run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row

from asyncflow.errors import InvalidTaskTypeError, OptionError, UnknownTaskTypeError, nearest
from asyncflow.outbox import Outbox
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.queries import insert_absent
from asyncflow.outbox.tables import TASK_TYPE_LENGTH
from asyncflow.scheduler.configuration import queries
from asyncflow.scheduler.configuration.type_config import OPTIONS, TypeConfig, refuse_unknown_options
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.connections.engine_check import require_place
from asyncflow.text import require_text

T = TypeVar("T")


class Configurations:
    """Read and change the configuration; each call is a transaction of its own, and any thread may call.

    Running schedulers take a change over within ``configuration_interval_seconds``. ``beside`` is called within the
    transaction of each change, if there is one, with the connection; that may be rolled back and made again.
    """

    def __init__(self, engine: Engine, outbox: Outbox, *, beside: Callable[[Connection], None] | None = None) -> None:
        require_place(engine, outbox)
        self._engine = engine
        self._beside = beside or _nothing
        self._outbox = outbox
        self._cfgs = outbox.schedule_cfgs

    def get(self, name: str) -> TypeConfig:
        """Return what is set for a task type; nothing if it has no row. Raises UnknownTaskTypeError."""
        found = run_briefly(self._engine, lambda connection: self._read(connection, name))
        if found is None and self._declared(name) is None:
            raise self._unknown(name)
        return found or TypeConfig(task_type=name)

    def all(self) -> dict[str, TypeConfig]:
        """Return what is set for each type, by name: of all that are declared here, and all that have a row."""
        rows = run_briefly(self._engine, lambda connection: read_configuration(connection, self._outbox))
        declared = (*self._outbox.task_types, *self._outbox.handler_types)
        found = {name: TypeConfig(task_type=name) for name in declared} | rows
        return dict(sorted(found.items()))

    def put(self, name: str, *, registered: bool = False, **options: Any) -> TypeConfig:
        """Set options of a task type, None for "as declared"; those not named stay. Return all that are set.

        ``registered`` lets the name be one that no code here declares: a type that is registered at run time.

        Raises UnknownTaskTypeError, InvalidTaskTypeError, OptionError or UnknownOptionError; nothing is written then.
        """
        require_text("task_type", name, TASK_TYPE_LENGTH, InvalidTaskTypeError)
        refuse_unknown_options(options)
        return run_briefly(self._engine, lambda connection: self._put(connection, name, options, registered=registered))

    def remove(self, name: str) -> bool:
        """Let a task type be as declared again, or forget one that was registered; return whether it had a row."""
        had: list[bool] = []

        def work(connection: Connection) -> None:
            had.append(connection.execute(queries.remove(self._cfgs), {"its_type": name}).rowcount > 0)
            if had[-1]:
                self._beside(connection)

        run_briefly(self._engine, work)
        return any(had)  # at the first time, if the answer to that was lost

    def handler_types(self) -> dict[str, HandlerType]:
        """Return the types in force whose tasks are handled, by name: the declared ones, and those registered.

        Rows that are at fault are left out of account.
        """
        found = {**self._outbox.handler_types}
        for name, config in self.all().items():
            if name not in self._outbox.task_types:
                found[name] = self._in_force(name, config)
        return found

    def handler_type(self, name: str) -> HandlerType | None:
        """Return one of the types in force whose tasks are handled, by one row; None if there is none of the name."""
        if name in self._outbox.task_types:
            return self._outbox.handler_types.get(name)
        config = run_briefly(self._engine, lambda connection: self._read(connection, name))
        return self._outbox.handler_types.get(name) if config is None else self._in_force(name, config)

    def _in_force(self, name: str, config: TypeConfig) -> HandlerType:
        # Not as it was in force before: the type may have been declared since.
        declared = self._outbox.handler_types.get(name) or HandlerType(name=name)
        try:
            return config.over(declared)
        except OptionError:
            return declared

    def _put(self, connection: Connection, name: str, options: Mapping[str, Any], *, registered: bool) -> TypeConfig:
        present = self._read(connection, name)
        if present is None and self._declared(name) is None and not registered:
            raise self._unknown(name)
        replace(present or TypeConfig(task_type=name), **options).over(self._type_of(name))
        insert_absent(connection, self._cfgs, [{"task_type": name, "modified_at": NO_TIME}])
        values = {"its_type": name, **{f"new_{option}": value for option, value in options.items()}}
        connection.execute(queries.change(self._cfgs, options), values)
        # Read again, for somebody may have set others since they were read.
        written = _config_of(connection.execute(queries.read_one(self._cfgs, OPTIONS), {"its_type": name}).one())
        written.over(self._type_of(name))
        if options or present is None:
            self._beside(connection)
        return written

    def _read(self, connection: Connection, name: str) -> TypeConfig | None:
        row = connection.execute(queries.read_one(self._cfgs, OPTIONS), {"its_type": name}).one_or_none()
        return None if row is None else _config_of(row)

    def _declared(self, name: str) -> TaskType | None:
        return self._outbox.task_types.get(name) or self._outbox.handler_types.get(name)

    def _type_of(self, name: str) -> TaskType:
        return self._declared(name) or HandlerType(name=name)

    def _unknown(self, name: str) -> UnknownTaskTypeError:
        known = (*self._outbox.task_types, *self._outbox.handler_types)
        return UnknownTaskTypeError(
            f"the task type {name!r} is neither declared nor registered{nearest(name, known)}; "
            f"declare it, or register it: put({name!r}, registered=True)"
        )


def _nothing(_: Connection) -> None:
    """Write nothing beside a change."""


def read_configuration(connection: Connection, outbox: Outbox) -> dict[str, TypeConfig]:
    """Read all rows, unchecked, by task type."""
    rows = connection.execute(queries.read_all(outbox.schedule_cfgs, OPTIONS))
    return {row[0]: _config_of(row) for row in rows}


def _config_of(row: Row[Any]) -> TypeConfig:
    return TypeConfig.of(row[0], dict(zip(OPTIONS, row[1:], strict=True)))
