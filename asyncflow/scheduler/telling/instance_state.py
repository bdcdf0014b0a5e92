"""The text by which an instance tells of itself: its form, and how it is read again, also by other versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

import orjson

MOST_NAMED = 20  # of anything; lists end there, and their counts tell that there are more
_FEWER = (MOST_NAMED, 5, 0)
_MOST_BYTES = 16_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldBreaker:
    """Tell of a circuit breaker that is not closed; moments are seconds since 1970 by the database's clock."""

    destination: str = ""
    topic: str | None = None
    state: str = ""
    error: str = ""
    since: float = 0.0
    probe_at: float = 0.0
    types: tuple[str, ...] = ()  # that wait for it
    type_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldTrouble:
    """Tell of something that happened ``count`` times, last at a moment, first at ``since``."""

    name: str = ""
    error: str = ""
    count: int = 0
    since: float = 0.0
    last: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldCrew:
    """Tell of a task type whose handlers are all at work, the longest of them and the youngest since a moment.

    So many claimed tasks are ``waiting`` for them in the process. Handlers usually took ``usual_seconds``; None if none
    has ended.
    """

    task_type: str = ""
    at_work: int = 0
    since: float = 0.0
    youngest_since: float = 0.0
    waiting: int = 0
    usual_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceState:
    """Hold what an instance tells of itself; moments are seconds since 1970 by the database's clock."""

    version: str = ""
    schema_version: int = 0  # of the tables that it works with; 0 for a version that does not tell
    oldest_beside: int = 0  # the oldest whose instances it can work beside
    host: str = ""
    pid: int = 0
    started: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)  # that are not the defaults
    seconds_ahead: float | None = None  # its clock, of the database's
    success_kept_seconds: float | None = None
    failed_kept_seconds: float | None = None
    breakers: tuple[ToldBreaker, ...] = ()
    failing: tuple[ToldTrouble, ...] = ()  # loops whose steps raise
    troubles: tuple[ToldTrouble, ...] = ()  # by name: see Recollection
    ran_out: tuple[ToldTrouble, ...] = ()  # claims, by task type
    undeclared: tuple[str, ...] = ()  # task types that were seen waiting
    unhandled: tuple[str, ...] = ()  # declared task types without a handler here
    off: tuple[str, ...] = ()  # task types that are declared to be off, whatever the table sets
    spent: tuple[str, ...] = ()  # task types held back by their rate or interval
    paced: tuple[str, ...] = ()  # those of them that are held back by their interval
    crews: tuple[ToldCrew, ...] = ()  # that have no hand free
    # Figures: their change alone is not written at once.
    rounds_per_second: float = 0.0
    in_hand: int = 0
    succeeded: int = 0
    retried: int = 0
    failed: int = 0
    cleaning_behind_seconds: float = 0.0  # that the oldest row which is to be cleaned had been expired
    cleaning_pause_seconds: float = 0.0  # between two batches, where it gives way to load

    def as_text(self) -> str:
        """Return the JSON, with shorter lists if it would be too large for its column."""
        text = b""
        for most in _FEWER:
            text = orjson.dumps(_cut(asdict(self), most))
            if len(text) <= _MOST_BYTES:
                break
        return text.decode()

    def lasting(self) -> str:
        """Return what is worth writing at once when it changes: without figures, and without how often and when."""
        left_out = dict.fromkeys(FIGURES)
        again = {"count": 0, "last": 0.0, "probe_at": 0.0, "waiting": 0, "usual_seconds": 0.0}
        told = {
            name: [{**one, **{key: again[key] for key in again.keys() & one.keys()}} for one in value]
            if isinstance(value, (list, tuple)) and value and isinstance(value[0], dict)
            else value
            for name, value in asdict(self).items()
        }
        return orjson.dumps({**told, **left_out}).decode()


FIGURES = (
    "rounds_per_second",
    "in_hand",
    "succeeded",
    "retried",
    "failed",
    "cleaning_behind_seconds",
    "cleaning_pause_seconds",
)
_LISTS: dict[str, type[Any]] = {
    "breakers": ToldBreaker,
    "failing": ToldTrouble,
    "troubles": ToldTrouble,
    "ran_out": ToldTrouble,
    "crews": ToldCrew,
}
_NAMES = ("undeclared", "unhandled", "off", "spent", "paced")


def state_from(text: str | None) -> InstanceState | None:
    """Return the state of a text; None for none, or one that is none.

    Another version's has fields that are not known here, and lacks others.
    """
    try:
        told = orjson.loads(text or "")
        values = _known(InstanceState, told)
        for name, kind in _LISTS.items():
            values[name] = tuple(_part(kind, one) for one in told.get(name, ()))
        for name in _NAMES:
            values[name] = tuple(map(str, told.get(name, ())))
        return InstanceState(**values)
    except (ValueError, TypeError, AttributeError):
        return None


def of_types(breaker: ToldBreaker, names: Sequence[str]) -> ToldBreaker:
    """Return the breaker with the task types that wait for it."""
    return replace(breaker, types=tuple(names[:MOST_NAMED]), type_count=len(names))


def _known(kind: type[Any], told: Mapping[str, Any]) -> dict[str, Any]:
    return {one.name: told[one.name] for one in fields(kind) if one.name in told}


def _cut(told: dict[str, Any], most: int) -> dict[str, Any]:
    return {name: value[:most] if isinstance(value, (list, tuple)) else value for name, value in told.items()}


def _part(kind: type[T], told: Mapping[str, Any]) -> T:
    """Return a part of a state; JSON knows lists only, and what is frozen has tuples."""
    return kind(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in _known(kind, told).items()}
    )
