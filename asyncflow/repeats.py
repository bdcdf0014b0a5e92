"""What a log has told already: of a trouble that lasts, one line says that it began, and one that it is over."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from asyncflow import events
from asyncflow.driver_errors import code_of
from asyncflow.errors import AsyncflowError, ConnectionSilentError, ServiceAwayError
from asyncflow.forks import leave_at_fork

_LASTS_SECONDS = 60.0  # without a word: longer than any loop pauses
_MOST_KINDS = 20
_MOST_AT_ONCE, _A_SECOND = 100, 10  # lines of a crowd: more, nobody reads, and all wait while they are written
AWAY = "away"
# The names that the errors of every driver bear, and SQLAlchemy's as well.
_AWAY = frozenset({"OperationalError", "InterfaceError", "InternalError"})
_SILENT = (ConnectionError, TimeoutError)
_DRIVERS = _AWAY | {"DatabaseError"}
_AWAY_STATES = ("08", "57")  # of SQLSTATE: no connection, and a server that an operator ends
_CLIENTS_OWN = range(2000, 3000)  # of MySQL's numbers: the client's, who has lost the server


@dataclass
class _RoomForLines:
    """Hold how many lines there is room for, and when that was so."""

    room: float
    at: float


@dataclass
class _Trouble:
    """Hold the kinds of failure that were told of, and when the last one was met."""

    kinds: set[Hashable] = field(default_factory=set)
    met_at: float = float("-inf")


class Repeats:
    """Know which troubles last; any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._troubles: dict[Hashable, _Trouble] = {}
        self._crowds: dict[Hashable, _RoomForLines] = {}
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Know what was told of in the child of a fork, where nobody gives back a lock that a thread had."""
        self._lock = threading.Lock()

    def take_in(self, event: events.Event) -> bool:
        """Tell whether the event says nothing that was not told of before."""
        match event:
            case events.StepFailed():
                return self.lasts(("loop", event.database_name, event.loop), kind_of(event.error))
            case events.StepRecovered():
                self._end(("loop", event.database_name, event.loop))
            case events.BreakerChanged(state="closed"):
                self._end(("breaker", event.destination, event.topic))
            case events.BreakerChanged():  # it opens, is tried, and opens again
                return self.lasts(("breaker", event.destination, event.topic), AWAY)
            case events.RowsLocked():
                return self.lasts(("locks", event.database_name, event.destination), AWAY)
        return False

    def lasts(self, where: Hashable, kind: Hashable) -> bool:
        """Tell whether this kind of failure was told of there and still lasts; know of it from now on."""
        with self._lock:
            trouble, now = self._troubles.setdefault(where, _Trouble()), self._clock()
            if now - trouble.met_at > _LASTS_SECONDS or len(trouble.kinds) >= _MOST_KINDS:
                trouble.kinds.clear()
            is_known = kind in trouble.kinds
            trouble.kinds.add(kind)
            trouble.met_at = now
            return is_known

    def room_in(self, crowd: Hashable) -> int:
        """Return for how many lines of a crowd there is room, the one in hand included, which takes its place."""
        with self._lock:
            now = self._clock()
            its = self._crowds.setdefault(crowd, _RoomForLines(_MOST_AT_ONCE, now))
            its.room, its.at = min(its.room + (now - its.at) * _A_SECOND, _MOST_AT_ONCE), now
            room = int(its.room)
            its.room -= min(room, 1)
            return room

    def _end(self, where: Hashable) -> None:
        with self._lock:
            self._troubles.pop(where, None)


def is_expected(error: BaseException) -> bool:
    """Tell whether the message of a step's error tells all there is: it is the database's, a service's, or ours."""
    is_known = isinstance(error, (AsyncflowError, *_SILENT)) or type(error).__module__.startswith("sqlalchemy")
    return is_known or not _DRIVERS.isdisjoint(_names_of(error))


def kind_of(error: BaseException) -> Hashable:
    """Return what is the same for failures that one line tells of: a server that is away says so in many ways."""
    if isinstance(error, (ConnectionSilentError, ServiceAwayError, *_SILENT)):
        return AWAY
    code = code_of(getattr(error, "orig", None) or error)
    if not _AWAY.isdisjoint(_names_of(error)):
        return (AWAY, code) if _is_refusal(code) else AWAY
    if isinstance(code, str) and not _is_refusal(code):  # pg8000 has one class for nearly all that a server says
        return AWAY
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error that cannot be printed is still one
        text = ""
    return type(error), re.sub(r"\d+", "0", text)[:200]


def _is_refusal(code: int | str | None) -> bool:
    """Tell whether a server said so that is there, and says no; not where it is away, or tells no code."""
    if isinstance(code, str):
        return code[:2] not in _AWAY_STATES
    return code is not None and code > 0 and code not in _CLIENTS_OWN


def _names_of(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}
