"""``asyncflow schema``: whether the database is as this version needs it, and what mends it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from asyncflow import __version__
from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.actor import add_actor_options
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.errors import AsyncflowError
from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator.audit import Act, Subject
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.schema.beside import NOBODY, Beside
from asyncflow.scheduler.schema.check import SchemaReport, check
from asyncflow.scheduler.schema.difference import SchemaOperation
from asyncflow.scheduler.schema.migration import IMPORTS
from asyncflow.scheduler.schema.upgrade import Upgrade
from asyncflow.text import on_one_line

_DIFFERS = 1
_INDENT = "    "


def add_to(commands: Any) -> None:
    """Add the command and its own commands ``check`` and ``upgrade``."""
    schema = commands.add_parser("schema", help="compare the database's tables with what this version needs, mend them")
    actions = schema.add_subparsers(required=True, metavar="ACTION")
    checking = actions.add_parser(
        "check",
        help="show each difference, and the operations that mend it; exit code 1 if there is one",
        description="Changes nothing. Exit codes: 0 as needed, 1 a difference or an error, 2 wrong usage.",
    )
    upgrading = actions.add_parser(
        "upgrade",
        help="run those of the operations that are safe, for who has no migrations; exit code 1 if something is left",
        description="Shows what it runs. Refuses by name what could lose data, what keeps writers of a large table "
        "waiting, and what instances of an older version that run could not live with. A lock is waited for 1 s. The "
        "audit tells of what was run. Exit codes: 0 as needed, 1 something is left, 2 wrong usage.",
    )
    for sub, run in ((checking, _check), (upgrading, _upgrade)):
        add_database_options(sub, looks=sub is checking)
        add_json_option(sub)
        sub.set_defaults(command=lambda options, run=run: run(options, *database_of(options)))
    add_actor_options(upgrading)
    upgrading.add_argument("--dry-run", action="store_true", help="show what would be run, and run nothing")
    upgrading.add_argument(
        "--in-quiet-time", action="store_true", help="run also what keeps writers of a large table waiting"
    )
    upgrading.add_argument(
        "--all-stopped",
        action="store_true",
        help="nothing of another version runs or writes: run also what it could not live with",
    )


def _check(options: argparse.Namespace, engine: Engine, outbox: Outbox) -> int:
    report = check(engine, outbox)
    others = _others(report, engine, outbox)
    if options.json:
        tell(as_json({**_as_dict(report), "other_versions": others}))
    else:
        tell(render(report))
        for name, version in others.items():
            tell(
                f"asyncflow: the instance {name} is of {version}, and this is {__version__}: it needs what its own "
                f"version needs",
                sys.stderr,
            )
    return _DIFFERS if report.operations else 0


def _as_dict(report: SchemaReport) -> dict[str, Any]:
    operations = [one.as_dict() for one in report.operations]
    return {
        "version": __version__,
        "dialect": report.dialect,
        "tables": report.tables,
        "differences": [one.as_dict() for one in report.differences],
        "operations": operations,
    }


def _others(report: SchemaReport, engine: Engine, outbox: Outbox) -> dict[str, str]:
    """Return the living instances of another version; none where their tables cannot be read."""
    differ = {one.table for one in report.operations}
    if differ & {outbox.instances.fullname, outbox.shards.fullname}:
        return {}
    try:
        found = Instances(engine, outbox).all()
    except SQLAlchemyError as error:  # a role for migrations may have no rights to rows
        tell(f"asyncflow: the instances cannot be read: {on_one_line(getattr(error, 'orig', error))}", sys.stderr)
        return {}
    living = {one.name: one.state for one in found if one.lease_seconds_left > 0}
    versions = {
        name: "a version that does not tell" if state is None else state.version for name, state in living.items()
    }
    return {name: str(version) for name, version in versions.items() if version != __version__}


def render(report: SchemaReport) -> str:
    """Return the report as text."""
    if not report.operations:
        return f"{len(report.tables)} tables are as version {__version__} needs them"
    lines = [line for one in report.operations for line in [*_lines(one), *_alembic(one), ""]]
    imports = [f"In a migration of Alembic they need: {'; '.join(IMPORTS)}"]
    number = len(report.differences)
    return "\n".join(
        [
            *lines,
            *imports,
            f"{number} difference{'' if number == 1 else 's'}; `asyncflow schema upgrade` runs what is safe",
        ]
    )


def _lines(one: SchemaOperation) -> list[str]:
    told = [f"{one.table}  {difference.kind.value}  {difference.text}" for difference in one.differences]
    refused = [f"{_INDENT}not by an upgrade: {one.refused}"] if one.refused else []
    refused += [f"{_INDENT}not while instances or writers of an older version run"] if one.breaks_older else []
    return [*told, *refused, f"{_INDENT}SQL:", *_indented(f"{statement};" for statement in one.sql)]


def _alembic(one: SchemaOperation) -> list[str]:
    return [f"{_INDENT}Alembic:", *_indented(one.alembic)]


def _indented(texts: Any) -> list[str]:
    return [f"{_INDENT * 2}{line}" for text in texts for line in text.split("\n")]


def _upgrade(options: argparse.Namespace, engine: Engine, outbox: Outbox) -> int:
    report = check(engine, outbox)
    beside = NOBODY if options.all_stopped else Beside.read(engine, outbox, report)
    upgrade = Upgrade(engine, outbox, in_quiet_time=options.in_quiet_time, beside=beside)
    trail = _UpgradeTrail(engine, outbox, Act("schema upgrade", options.actor, options.reason))
    done: list[dict[str, Any]] = []
    for operation in report.operations:
        if not options.json:
            tell("\n".join(_lines(operation)))
        left = upgrade.refusal(operation) if options.dry_run else upgrade.run(operation).left
        if left is None and not options.dry_run:
            trail.note(operation)
        done.append({**operation.as_dict(), "left": left})
        if not options.json:
            tell(f"{_INDENT}{_outcome(left, is_dry=options.dry_run)}")
    trail.complain()
    return _end(options, engine, outbox, done)


def _still_left(number: int) -> str:
    told, mends = ("1 difference is", "it") if number == 1 else (f"{number} differences are", "them")
    return f"{told} left; `asyncflow schema check` shows what mends {mends}"


class _UpgradeTrail:
    """Tell of operations that were run, each as soon as the audit's own table takes it; used by one thread."""

    def __init__(self, engine: Engine, outbox: Outbox, act: Act) -> None:
        self._engine = engine
        self._entries = outbox.audit_entries
        self._act = act
        self._untold: list[Callable[[Connection], None]] = []
        self._fault: BaseException | None = None

    def note(self, operation: SchemaOperation) -> None:
        """Write an entry for the operation, and for those before it that could not be written."""
        subject = Subject.of("schema", operation.table)
        self._untold.append(self._act.writing(self._entries, subject, "; ".join(operation.sql)))
        try:
            while self._untold:
                run_briefly(self._engine, self._untold[0])
                del self._untold[0]
        except (SQLAlchemyError, AsyncflowError) as error:  # the audit may be what is mended next
            self._fault = getattr(error, "orig", None) or error

    def complain(self) -> None:
        """Say on standard error what the audit does not tell."""
        if self._untold:
            number = len(self._untold)
            tell(
                f"asyncflow: the audit does not tell of {number} operation{'' if number == 1 else 's'}: "
                f"{on_one_line(self._fault)}",
                sys.stderr,
            )


def _outcome(left: str | None, *, is_dry: bool) -> str:
    if left is not None:
        return f"left as it is: {left}"
    return "would be run" if is_dry else "done"


def _end(options: argparse.Namespace, engine: Engine, outbox: Outbox, done: Sequence[dict[str, Any]]) -> int:
    """Look again: what was done is what the database says."""
    left = [one for one in done if one["left"]]
    if not options.dry_run:
        after = check(engine, outbox)
        is_left = bool(after.operations)
        told = _still_left(len(after.differences)) if is_left else render(after)
    else:
        is_left, told = bool(left), "nothing was run"
    tell(as_json({"dry_run": options.dry_run, "operations": done, "is_left": is_left}) if options.json else told)
    return _DIFFERS if is_left else 0
