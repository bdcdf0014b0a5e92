"""The options of task types, changed by a person or a token: each change with its row of the audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from asyncflow.outbox import Outbox
from asyncflow.scheduler.configuration.configurations import Configurations
from asyncflow.scheduler.configuration.type_config import TypeConfig
from asyncflow.scheduler.operator.audit import Act, Subject


class OptionChanges:
    """Change the options of task types, in one transaction with who did it; any thread may call."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox

    def put(self, act: Act, name: str, options: Mapping[str, Any], *, registered: bool | None = None) -> TypeConfig:
        """Set options of a task type, None for "as declared"; return all that are set.

        ``registered``: whether it may be one that no code here declares; None: if none does. Raises as
        ``Configurations.put`` does, and nothing is written then. What is known and gets no option leaves no trace.
        """
        if registered is None:
            registered = name not in self._outbox.task_types and name not in self._outbox.handler_types
        told = ", ".join(f"{option} = {'as declared' if value is None else value}" for option, value in options.items())
        return self._beside(act, name, told or "registered").put(name, registered=registered, **options)

    def remove(self, act: Act, name: str) -> bool:
        """Let a task type be as declared again, or forget one that was registered; return whether it had a row."""
        return self._beside(act, name, "all as declared").remove(name)

    def _beside(self, act: Act, name: str, told: str) -> Configurations:
        write = act.writing(self._outbox.audit_entries, Subject(name), told)
        return Configurations(self._engine, self._outbox, beside=write)
