"""The versions of the tables that living instances work with: which of them cannot work beside this one."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Engine

from asyncflow.errors import IncompatibleVersionError
from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.tables import schema_version as own
from asyncflow.scheduler.telling.roll_call import Member, recorded_members

_PATIENCE_SECONDS = 5.0  # that the older of two waits for the younger to give way
_LOOK_SECONDS = 0.2


class LivingVersion(NamedTuple):
    """Tell of a living instance, of which version it is, and its tables; 0 for one that does not tell."""

    name: str
    version: str
    schema: int
    oldest_beside: int
    started: float = 0.0  # seconds since 1970, by the database's clock

    @property
    def age(self) -> tuple[float, str]:
        """Return what is less for the older of two, in the eyes of both."""
        return self.started, self.name

    @property
    def is_incompatible(self) -> bool:
        """Tell whether it cannot work beside this version, or this version beside it."""
        return self.schema < own.OLDEST_BESIDE or self.oldest_beside > own.SCHEMA_VERSION

    @property
    def is_older(self) -> bool:
        """Tell whether it works with the tables as they were before this version."""
        return self.schema < own.SCHEMA_VERSION

    @property
    def is_newer(self) -> bool:
        """Tell whether it works with tables that this version does not know."""
        return self.schema > own.SCHEMA_VERSION

    def __str__(self) -> str:
        tables = f"tables of version {self.schema}" if self.schema else "tables of a version that it does not tell"
        return f"{self.name} ({self.version or 'unknown'}, {tables})"


def living(members: Iterable[Member]) -> list[LivingVersion]:
    """Return those of the instances whose leases run."""
    return [_version_of(one) for one in members if one.lease_seconds_left > 0]


def require_versions(engine: Engine, outbox: Outbox) -> None:
    """Raise IncompatibleVersionError, naming the living instances beside which this version cannot work.

    One that has joined a moment ago tells nothing yet, and keeps nobody out: ``await_versions`` finds it.
    """
    if found := [one for one in _told(engine, outbox) if one.is_incompatible]:
        raise _error(found)


def await_versions(engine: Engine, outbox: Outbox, name: str) -> None:
    """Look once more, when the instance of that ``name`` has told its version; raises IncompatibleVersionError.

    Of two that start at the same moment each tells before it looks here, so one of them sees the other at least. The
    younger gives way at once. The older waits for that, and gives way if it waits in vain: the younger may have looked
    before there was anything to see.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        versions = {one.name: one for one in _told(engine, outbox)}
        ours = versions.pop(name, None)
        found = [one for one in versions.values() if one.is_incompatible]
        if not found:
            return
        if ours is None or time.monotonic() > until or any(one.age < ours.age for one in found):
            raise _error(found)
        time.sleep(_LOOK_SECONDS)


def _told(engine: Engine, outbox: Outbox) -> list[LivingVersion]:
    with connected(engine) as connection:
        return living(one for one in recorded_members(connection, outbox) if one.state is not None)


def _error(found: Iterable[LivingVersion]) -> IncompatibleVersionError:
    """Return what is wrong with these: older ones are told of first."""
    if older := [one for one in found if one.schema < own.OLDEST_BESIDE]:
        return IncompatibleVersionError(
            f"this version works with tables of version {own.SCHEMA_VERSION}, and beside instances from version "
            f"{own.OLDEST_BESIDE} on; older ones run: {_listed(older)}. Stop them first; one that was killed is gone "
            f"when its lease has run out"
        )
    return IncompatibleVersionError(
        f"this version works with tables of version {own.SCHEMA_VERSION}, and instances run that work beside later "
        f"ones alone: {_listed(found)}. Start their version here, or stop them first"
    )


def _version_of(member: Member) -> LivingVersion:
    state = member.state
    if state is None:
        return LivingVersion(member.name, "", 0, 0)
    return LivingVersion(member.name, state.version, state.schema_version, state.oldest_beside, state.started)


def _listed(versions: Iterable[LivingVersion]) -> str:
    return ", ".join(map(str, versions))
