"""The versions of the tables that living instances work with: which of them cannot work beside this one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Engine

from asyncflow.errors import IncompatibleVersionError
from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.tables import schema_version as own
from asyncflow.scheduler.telling.roll_call import Member, recorded_members


class LivingVersion(NamedTuple):
    """Tell of a living instance, of which version it is, and its tables; 0 for one that does not tell."""

    name: str
    version: str
    schema: int
    oldest_beside: int

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

    One that has joined a moment ago tells nothing yet, and keeps nobody out.
    """
    with connected(engine) as connection:
        versions = living(one for one in recorded_members(connection, outbox) if one.state is not None)
    if older := [one for one in versions if one.schema < own.OLDEST_BESIDE]:
        raise IncompatibleVersionError(
            f"this version works with tables of version {own.SCHEMA_VERSION}, and beside instances from version "
            f"{own.OLDEST_BESIDE} on; older ones run: {_listed(older)}. Stop them first; one that was killed is gone "
            f"when its lease has run out"
        )
    if newer := [one for one in versions if one.oldest_beside > own.SCHEMA_VERSION]:
        raise IncompatibleVersionError(
            f"this version works with tables of version {own.SCHEMA_VERSION}, and instances run that work beside later "
            f"ones alone: {_listed(newer)}. Start their version here, or stop them first"
        )


def _version_of(member: Member) -> LivingVersion:
    state = member.state
    if state is None:
        return LivingVersion(member.name, "", 0, 0)
    return LivingVersion(member.name, state.version, state.schema_version, state.oldest_beside)


def _listed(versions: Iterable[LivingVersion]) -> str:
    return ", ".join(map(str, versions))
