"""The engines that a scheduler is given: of one database, or of several by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sqlalchemy import Engine

from asyncflow.errors import OptionError
from asyncflow.outbox.routing.databases import named
from asyncflow.outbox.transaction.wakeup import place_of
from asyncflow.scheduler.connections.engine_check import require_sync

Engines: TypeAlias = Engine | Mapping[str, Engine]
ONLY = ""  # the name of a database that is the only one


def engines_of(given: Engines) -> dict[str, Engine]:
    """Return the engines by their names; that of a single database has the name "".

    Raises OptionError for what is no Engine, and for two names of one database: its shards would have two owners here.
    """
    if not isinstance(given, Mapping):
        require_sync(given)
        return {ONLY: given}
    engines = named(given)
    for engine in engines.values():
        require_sync(engine)
    _require_apart(engines)
    return engines


def _require_apart(engines: Mapping[str, Engine]) -> None:
    names: dict[object, str] = {}
    for name, engine in engines.items():
        place = (place_of(engine), frozenset(engine.url.query.items()))  # a PostgreSQL schema may stand in the query
        first = names.setdefault(place, name)
        if first != name:
            raise OptionError(
                f"the databases {first!r} and {name!r} are the same one ({engine.url.render_as_string()}); "
                f"name each once"
            )
