"""The making of a service: of one database, or of several by their names."""

from __future__ import annotations

from collections.abc import Iterable

from asyncflow.event_log import LoggedHooks
from asyncflow.events import Hook, Hooks
from asyncflow.integrations.flowsvr.door.tokens import Tokens
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.settings import ServiceSettings
from asyncflow.integrations.flowsvr.together.one_database import OneDatabase
from asyncflow.integrations.flowsvr.together.several_databases import SeveralDatabases
from asyncflow.outbox import Outbox
from asyncflow.scheduler.branches.engines import ONLY, Engines, engines_of
from asyncflow.scheduler.branches.hearing import Named


def served_databases(
    given: Engines, outbox: Outbox, tokens: Tokens, settings: ServiceSettings, hooks: Iterable[Hook]
) -> OneDatabase | SeveralDatabases:
    """Make what routes ask; the hooks of several databases hear of each with its name. Raises OptionError."""
    engines = engines_of(given)
    if ONLY in engines:
        return OneDatabase(TaskService(engines[ONLY], outbox, tokens, settings, hooks))
    heard = LoggedHooks(hooks)
    return SeveralDatabases(
        {
            name: TaskService(engine, outbox, tokens, settings, Hooks([Named(name, heard)]))
            for name, engine in engines.items()
        }
    )
