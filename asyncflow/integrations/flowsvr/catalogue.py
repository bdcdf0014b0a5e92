"""The task types that the service knows: those declared, and those registered while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from asyncflow.errors import UnknownTaskTypeError, nearest
from asyncflow.outbox.declarations.handler_type import HandlerType

Load = Callable[[], Mapping[str, HandlerType]]
Find = Callable[[str], HandlerType | None]


class Catalogue(Mapping[str, HandlerType]):
    """Know the types in force as last read; any thread may ask, and a refresh replaces all at once.

    ``load`` reads all of them, ``find`` the one of a name. A lock lets one thread at a time read all.
    """

    def __init__(
        self, load: Load, find: Find, refresh_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._find = find
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._reading = threading.Lock()
        self._read_at = self._stale_at = 0.0
        self._types: Mapping[str, HandlerType] = {}

    def __getitem__(self, name: str) -> HandlerType:
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def refresh(self) -> None:
        """Read the types anew, once for all that ask before it begins; raises what the database raises."""
        asked_at = self._clock()
        with self._reading:
            if self._read_at <= asked_at:
                self._read()

    def refresh_if_stale(self) -> None:
        """Read the types anew if that was long ago."""
        if self.is_stale:
            with self._reading:
                if self.is_stale:
                    self._read()

    def look_for(self, name: str) -> None:
        """Know the type of one name, if there is one by now, without a look at the others."""
        found = self._find(name)
        if found is not None:
            with self._reading:
                self._types = {**self._types, name: found}

    def _read(self) -> None:
        began = self._clock()
        self._types = self._load()
        self._read_at, self._stale_at = began, self._clock() + self._refresh_seconds

    @property
    def is_stale(self) -> bool:
        """Tell whether the types were read longer than ``type_refresh_seconds`` ago."""
        return self._clock() >= self._stale_at

    def require(self, name: str, may_use: Callable[[str], bool]) -> HandlerType:
        """Return the type; raises UnknownTaskTypeError with the nearest name that the caller may use."""
        if name not in self._types:
            near = nearest(name, filter(may_use, self._types))
            raise UnknownTaskTypeError(
                f"the task type {name!r} is neither declared nor registered{near}; "
                f"register it: PUT /v2/task-types/{name}"
            )
        return self._types[name]

    def type_of(self, name: str) -> HandlerType:
        """Return the type, or one with the default policy: a type that was forgotten may have tasks left."""
        return self._types.get(name) or HandlerType(name=name)

    def is_held(self, name: str) -> bool:
        """Tell whether tasks of the type are given to workers: not while it is switched off."""
        return name in self._types and self._types[name].enabled

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return those names that are no types."""
        return sorted(name for name in names if name not in self._types)
