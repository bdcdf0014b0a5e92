"""The task types as they are in force: declared, with what the configuration table sets laid over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from sqlalchemy import Engine

from asyncflow.errors import OptionError
from asyncflow.events import ConfigurationChanged, ConfigurationIgnored, Hooks
from asyncflow.outbox import Outbox, Task
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.declarations.task_type import MessageType, TaskType
from asyncflow.outbox.lines.connecting import connected
from asyncflow.scheduler.configuration.configurations import read_configuration
from asyncflow.scheduler.configuration.type_config import TypeConfig
from asyncflow.scheduler.connections.database import Database

TypeT = TypeVar("TypeT", bound=TaskType)


class Overlay(Mapping[str, TypeT]):
    """Show declared types, those that are declared later included, with their configuration laid over.

    Replaced as a whole by each reading, so that any thread may look.
    """

    def __init__(self, declared: Mapping[str, TypeT]) -> None:
        self.declared = declared
        self.in_force: Mapping[str, TypeT] = {}  # those that are configured

    def __getitem__(self, name: str) -> TypeT:
        # The declared one first: it raises for what is none, and most types have no configuration.
        declared = self.declared[name]
        return self.in_force.get(name, declared)

    def __iter__(self) -> Iterator[str]:
        return iter(self.declared)

    def __len__(self) -> int:
        return len(self.declared)

    def lay_over(self, configs: Mapping[str, TypeConfig], ignore: Callable[[TypeConfig, OptionError], None]) -> None:
        """Let ``configs`` be in force; ``ignore`` is told of those that cannot be."""
        in_force = {}
        for name, config in configs.items():
            if name in self.declared:
                try:
                    in_force[name] = config.over(self.declared[name])
                except OptionError as error:
                    ignore(config, error)
        self.in_force = in_force


class TypesInForce:
    """Read the configuration again and again; made by a scheduler, one thread steps it, all its loops look.

    A row that is at fault is told of once, and its type goes on as declared.
    """

    def __init__(
        self,
        outbox: Outbox,
        engine: Engine,
        interval_seconds: float,
        hooks: Hooks,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.messages: Overlay[MessageType] = Overlay(outbox.task_types)
        self.handlers: Overlay[HandlerType] = Overlay(outbox.handler_types)
        self._on_change = on_change
        self._outbox = outbox
        self._engine = engine
        self._database = Database(engine, autocommit=True)  # kept: a reading is one statement, and no ROLLBACK
        self._interval = interval_seconds
        self._hooks = hooks
        self._known: dict[str, TypeConfig] = {}
        self._ignored: dict[str, TypeConfig] = {}

    def step(self) -> float:
        """Read once; return the seconds until the next reading. Raises what the database raises."""
        self._adopt(self._database.run(lambda connection: read_configuration(connection, self._outbox)))
        return self._interval

    def read(self) -> None:
        """Read the table on a connection for the moment, on any thread, and let what it says be in force."""
        with connected(self._engine) as connection:
            configs = read_configuration(connection, self._outbox)
        self._adopt(configs)

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _adopt(self, configs: dict[str, TypeConfig]) -> None:
        before, self._known = self._known, configs
        told, self._ignored = self._ignored, {}
        # Also if nothing changed: types may have been declared, or got their handlers, since.
        for overlay in (self.messages, self.handlers):
            overlay.lay_over(configs, lambda config, error: self._ignore(config, error, told))
        if configs != before:
            self._tell(before, configs)
            self._on_change()

    def _ignore(self, config: TypeConfig, error: OptionError, told: Mapping[str, TypeConfig]) -> None:
        self._ignored[config.task_type] = config
        if told.get(config.task_type) != config:
            self._hooks.emit(ConfigurationIgnored(config.task_type, str(error)))

    def _tell(self, before: Mapping[str, TypeConfig], now: Mapping[str, TypeConfig]) -> None:
        for name in sorted(before.keys() | now.keys()):
            config = now.get(name) or TypeConfig(task_type=name)
            if config != before.get(name) and name not in self._ignored:
                self._hooks.emit(ConfigurationChanged(name, tuple(config.options().items())))


def with_retries_in_force(tasks: list[Task], types: Mapping[str, MessageType]) -> list[Task]:
    """Return the tasks with the number of retries that the configuration of these types sets.

    It is in force as an attempt begins. An attempt of a handler keeps its type for that; a message's is its task.
    """
    return [_in_force(task, types.get(task.task_type)) for task in tasks] if types else tasks


def _in_force(task: Task, configured: MessageType | None) -> Task:
    return task if configured is None else task._replace(max_retries=configured.most_retries(task.max_retries))
