"""The outbox's own door to its databases, for writers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.outbox.routing.databases import Databases, RoutingKey
from asyncflow.text import shown


class Routing:
    """Know over which databases an application's keys are spread, if it has told them."""

    def __init__(self, databases: Databases[Any] | None) -> None:
        if databases is not None and not isinstance(databases, Databases):
            raise OptionError(f"databases is {shown(databases)}; give Databases({{'db0': engine, ...}})")
        self._databases = databases

    @property
    def databases(self) -> Databases[Any]:
        """Return them; raises OptionError if there are none."""
        if self._databases is None:
            raise OptionError("this outbox knows no databases; give Outbox(..., databases=Databases({'db0': engine}))")
        return self._databases

    def databases_or(self, others: Mapping[str, Any]) -> Databases[Any]:
        """Return them, or these by their names if there are none; raises OptionError unless the names are the same."""
        own = Databases(others) if self._databases is None else self._databases
        if set(own) != set(others):
            raise OptionError(
                f"the outbox spreads keys over the databases {', '.join(sorted(own))}, and given are "
                f"{', '.join(sorted(others))}; give those of the outbox, by the same names"
            )
        return own

    def route(self, key: RoutingKey) -> Any:
        """Return the database in which the rows and tasks of ``key`` lie: what Databases has under its name.

        Raises OptionError without databases or for a key that is no text and no whole number, UnknownDatabaseError.
        """
        return self.databases.of(key)
