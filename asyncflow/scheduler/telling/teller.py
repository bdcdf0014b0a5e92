"""What an instance tells of itself, put together from those of its parts that know it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from asyncflow.events import Hooks, StepFailed
from asyncflow.outbox import Outbox
from asyncflow.outbox.tables import schema_version
from asyncflow.scheduler.cluster.bulletin import Told
from asyncflow.scheduler.heads.unknown_types import UnknownTypes
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.telling.instance_state import (
    MOST_NAMED,
    InstanceState,
    ToldBreaker,
    ToldCrew,
    ToldTrouble,
    of_types,
)
from asyncflow.scheduler.telling.recollection import Recollection

_DEFAULTS = SchedulerSettings()
_OWN_SETTINGS = ("instance_index",)  # which differ from instance to instance


@dataclass(frozen=True)
class Informants:
    """Hold who knows what an instance is and does; asked on the cluster's thread, each must answer at once."""

    outbox: Outbox
    settings: SchedulerSettings
    lately: Recollection
    unknown_types: UnknownTypes
    spent: Callable[[], Iterable[str]]  # of message types
    paced: Callable[[], Iterable[str]]  # of handlers' types
    crews: Callable[[], Iterable[ToldCrew]]
    in_hand: Callable[[], int]
    cleaning: Callable[[], tuple[float, float]]  # seconds that it is behind, and of a pause that gives way to load


class Teller:
    """Tell of one instance, from the making of its parts to their end; used by the cluster's thread alone."""

    def __init__(self, informants: Informants, hooks: Hooks) -> None:
        self._informants = informants
        self._hooks = hooks
        self._lately = informants.lately
        self._settings = settings_that_differ(informants.settings) | _of_roll_over(informants.outbox)
        self._rounds = (0, informants.lately.started_at)

    def tell(self, seconds_ahead: float | None) -> Told | None:
        """Return what is to be told now; None if that cannot be found out, which costs nobody a lease."""
        try:
            state = self._state(seconds_ahead or 0.0, seconds_ahead)
            return Told(state.lasting(), state.as_text())
        except Exception as error:  # noqa: BLE001 - the renewal that asks must be made
            self._hooks.emit(StepFailed("telling", error, 0.0))
            return None

    def _state(self, ahead: float, seconds_ahead: float | None) -> InstanceState:
        asked, lately = self._informants, self._lately
        settings, undeclared = asked.settings, asked.unknown_types.names()
        behind, pause = asked.cleaning()
        paced = sorted(asked.paced())
        return InstanceState(
            version=_own_version(),
            schema_version=schema_version.SCHEMA_VERSION,
            oldest_beside=schema_version.OLDEST_BESIDE,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=round(lately.started_at - ahead, 1),
            settings=self._settings,
            seconds_ahead=seconds_ahead,
            success_kept_seconds=_success_kept(asked),
            failed_kept_seconds=settings.failed_retention_seconds,
            breakers=tuple(self._with_types(_by_database(one, ahead)) for one in lately.breakers()),
            failing=tuple(_by_database(one, ahead) for one in lately.failing()),
            troubles=tuple(_by_database(one, ahead) for one in lately.troubles()),
            ran_out=tuple(_by_database(one, ahead) for one in lately.ran_out()),
            undeclared=tuple(undeclared[:MOST_NAMED]),
            unhandled=tuple(self._unhandled()),
            off=tuple(self._off()),
            spent=tuple(sorted([*asked.spent(), *paced])[:MOST_NAMED]),
            paced=tuple(paced[:MOST_NAMED]),
            crews=tuple(_by_database(one, ahead) for one in list(asked.crews())[:MOST_NAMED]),
            rounds_per_second=self._rounds_per_second(),
            in_hand=asked.in_hand(),
            succeeded=lately.succeeded,
            retried=lately.retried,
            failed=lately.failed,
            cleaning_behind_seconds=round(behind),
            cleaning_pause_seconds=pause,
        )

    def _with_types(self, breaker: ToldBreaker) -> ToldBreaker:
        types = list(self._informants.outbox.task_types.values())
        here = [one for one in types if one.destination == breaker.destination and breaker.topic in (None, one.topic)]
        return of_types(breaker, sorted(one.name for one in here))

    def _unhandled(self) -> list[str]:
        types = list(self._informants.outbox.handler_types.items())
        return sorted(name for name, kind in types if kind.handler is None)[:MOST_NAMED]

    def _off(self) -> list[str]:
        outbox = self._informants.outbox
        declared = [*outbox.task_types.items(), *outbox.handler_types.items()]
        return sorted(name for name, kind in declared if not kind.enabled)[:MOST_NAMED]

    def _rounds_per_second(self) -> float:
        now, (rounds, since) = self._lately.now(), self._rounds
        self._rounds = (self._lately.rounds, now)
        return round((self._lately.rounds - rounds) / max(0.001, now - since), 1)


@cache
def _own_version() -> str:
    try:
        return version("asyncflow-outbox")
    except PackageNotFoundError:  # run from its files
        return "unknown"


def settings_that_differ(settings: SchedulerSettings) -> dict[str, Any]:
    """Return the settings that are not the defaults; a function by its name, another callable by its kind's."""
    given = {one.name: getattr(settings, one.name) for one in fields(settings) if one.name not in _OWN_SETTINGS}
    return {
        name: getattr(value, "__qualname__", type(value).__qualname__) if callable(value) else value
        for name, value in given.items()
        if value != getattr(_DEFAULTS, name)
    }


def _of_roll_over(outbox: Outbox) -> dict[str, str]:
    """Return the outbox's option that all instances want alike, as if it were a setting."""
    numbered = outbox.numbered_tables
    return {} if numbered is None else {"roll_over": str(numbered.options)}


def _by_database(one: Any, ahead: float) -> Any:
    """Return the same with its moments by the database's clock."""
    moments = {name: round(getattr(one, name) - ahead, 1) for name in _MOMENTS[type(one)]}
    return replace(one, **moments)


_MOMENTS: dict[type[Any], tuple[str, ...]] = {
    ToldBreaker: ("since", "probe_at"),
    ToldTrouble: ("since", "last"),
    ToldCrew: ("since", "youngest_since"),
}


def _success_kept(asked: Informants) -> float | None:
    """Return for how many seconds SUCCESS rows stay in the task table: until they are deleted, or roll over."""
    numbered = asked.outbox.numbered_tables
    return asked.settings.success_retention_seconds if numbered is None else numbered.options.after.total_seconds()
