"""Several databases, by their names, over which keys are spread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

from asyncflow.errors import OptionError, UnknownDatabaseError, nearest
from asyncflow.outbox.routing.slots import SLOTS, owner_of, slot_of
from asyncflow.text import shown

DatabaseT = TypeVar("DatabaseT")
RoutingKey: TypeAlias = str | int
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a pair, which has no bytes
_GIVE_NAMES = "give letters, digits, '_', '-' and '.', at most 63 of them, such as 'db0'"


class Databases(Mapping[str, DatabaseT], Generic[DatabaseT]):
    """Map names to databases, such as engines, and spread keys over them; any thread may ask, and nothing changes.

    A key's slot is of its text alone, and a slot's database of the names alone: in every process, with every version
    of Python, and whatever the order of the names, a key has the same database. ``by``, a function of the key that
    returns a name, takes the place of that. Raises OptionError.
    """

    def __init__(self, databases: Mapping[str, DatabaseT], *, by: Callable[[Any], str] | None = None) -> None:
        self._databases = named(databases)
        if by is not None and not callable(by):
            raise OptionError(f"by is {shown(by)}; give a function of the key that returns a database's name")
        self._by = by
        self._owners: dict[int, str] = {}  # found anew by any thread, always the same

    def __getitem__(self, name: str) -> DatabaseT:
        return self._databases[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._databases)

    def __len__(self) -> int:
        return len(self._databases)

    def of(self, key: RoutingKey) -> DatabaseT:
        """Return the database of a key; raises what ``name_of`` raises."""
        return self._databases[self.name_of(key)]

    def name_of(self, key: RoutingKey) -> str:
        """Return the name of a key's database; a whole number is as its decimal text.

        Raises OptionError for a key that is neither text nor a number, or UnknownDatabaseError if ``by`` names none.
        """
        if self._by is None:
            return self._owner_of(slot_of(_text_of(key)))
        name = self._by(key)
        if not isinstance(name, str) or name not in self._databases:
            raise UnknownDatabaseError(
                f"the function that routes keys returned {shown(name)}{nearest(str(name), self._databases)}; "
                f"it is to return one of {', '.join(self._databases)}"
            )
        return name

    def slots(self) -> dict[str, list[int]]:
        """Return the slots of each database; raises OptionError where a function routes the keys."""
        if self._by is not None:
            raise OptionError("by is a function, which knows no slots; ask name_of(key) of each key")
        found: dict[str, list[int]] = {name: [] for name in self._databases}
        for slot in range(SLOTS):
            found[self._owner_of(slot)].append(slot)
        return found

    def moves_to(self, after: Databases[Any]) -> dict[tuple[str, str], list[int]]:
        """Return the slots that have another database in ``after``, by the names of the old one and the new one.

        Raises what ``slots`` raises.
        """
        owners = {slot: name for name, slots in after.slots().items() for slot in slots}
        moves: dict[tuple[str, str], list[int]] = {}
        for name, slots in self.slots().items():
            for slot in slots:
                if owners[slot] != name:
                    moves.setdefault((name, owners[slot]), []).append(slot)
        return moves

    def _owner_of(self, slot: int) -> str:
        owner = self._owners.get(slot)
        if owner is None:
            owner = self._owners[slot] = owner_of(slot, self._databases)
        return owner


def named(databases: Mapping[str, DatabaseT]) -> dict[str, DatabaseT]:
    """Return the databases by their names; raises OptionError if there is none, or for a name that cannot be told."""
    if not isinstance(databases, Mapping) or not databases:
        raise OptionError(f"databases is {shown(databases)}; give a dict of names, such as {{'db0': engine}}")
    for name in databases:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise OptionError(f"the name of a database is {shown(name)}; {_GIVE_NAMES}")
    return dict(databases)


def _text_of(key: Any) -> str:
    if isinstance(key, str) and key and not _SURROGATE.search(key):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))  # a member of an enumeration has another text with each version of Python
    raise OptionError(f"the key is {shown(key)}; give text, or a whole number, that tells whose rows are meant")
