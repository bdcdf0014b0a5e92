"""What an upgrade would break for instances that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.tables.schema_version import SCHEMA_VERSION
from asyncflow.scheduler.schema.check import SchemaReport
from asyncflow.scheduler.schema.difference import DifferenceKind, SchemaOperation
from asyncflow.scheduler.telling.roll_call import recorded_members
from asyncflow.scheduler.telling.versions_beside import LivingVersion, living
from asyncflow.text import on_one_line

_NEWER = (
    "instances of a later version run, {names}, and this one, of tables of version {own}, does not know what they "
    "need: upgrade with theirs"
)
_OLDER = (
    "instances of an older version run, {names}, and their rows would be refused behind it: stop them first, and what "
    "else writes with their version; `asyncflow instances list` tells when they are gone"
)
_UNREAD = (
    "who runs cannot be read ({fault}), and rows of older versions would be refused behind it: stop them first, and "
    "what else writes with them; then say `--all-stopped`"
)


@dataclass(frozen=True)
class Beside:
    """Hold who runs; ``fault`` is why that could not be read."""

    versions: Sequence[LivingVersion] = ()
    fault: str | None = None

    @classmethod
    def read(cls, engine: Engine, outbox: Outbox, report: SchemaReport) -> Beside:
        """Read who runs; nobody does where the table of instances is missing."""
        missing = {one.table for one in report.differences if one.kind is DifferenceKind.TABLE_MISSING}
        if outbox.instances.fullname in missing:
            return NOBODY
        try:
            with connected(engine) as connection:
                return cls(living(recorded_members(connection, outbox)))
        except SQLAlchemyError as error:  # it is of an older form, or there is no right to its rows
            return cls(fault=on_one_line(getattr(error, "orig", error)))

    def refusal(self, operation: SchemaOperation) -> str | None:
        """Return why an operation is not to be run while they do."""
        if newer := [one for one in self.versions if one.is_newer]:
            return _NEWER.format(names=_listed(newer), own=SCHEMA_VERSION)
        if not operation.breaks_older:
            return None
        if self.fault is not None:
            return _UNREAD.format(fault=self.fault)
        older = [one for one in self.versions if one.is_older]
        return _OLDER.format(names=_listed(older)) if older else None


NOBODY = Beside()


def _listed(versions: Sequence[LivingVersion]) -> str:
    return ", ".join(map(str, versions))
