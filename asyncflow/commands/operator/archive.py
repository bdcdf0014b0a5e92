"""``asyncflow archive``: what was deleted or dropped, read from its files."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import orjson

from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.errors import ArchiveDamagedError
from asyncflow.scheduler.archive.reader import CheckedFile, check, files_of, rows_of

_DAMAGED = 1
_FILTERS = (("type", "task_type"), ("key", "task_key"), ("id", "id"), ("status", "status"))


def add_to(commands: Any) -> None:
    """Add the command and its own commands ``read`` and ``check``."""
    archive = commands.add_parser("archive", help="read or check the files of an archive_directory; needs no database")
    actions = archive.add_subparsers(required=True, metavar="ACTION")
    reading = actions.add_parser(
        "read",
        help="print archived rows, one a line, as JSON",
        description="A row may be there twice, where a delete did not commit. Exit code 1 if a file is damaged: what "
        "can be read of it is printed.",
    )
    for option, column in _FILTERS:
        reading.add_argument(f"--{option}", dest=column, metavar=option.upper(), help=f"those of this {option} alone")
    reading.set_defaults(command=_read)
    checking = actions.add_parser(
        "check",
        help="read the files to their ends, and compare them with their checksums; exit code 1 if one is damaged",
    )
    add_json_option(checking)
    checking.set_defaults(command=_check)
    for sub in (reading, checking):
        sub.add_argument("places", nargs="+", metavar="PLACE", help="the directory, or files of it")


def _read(options: argparse.Namespace) -> int:
    is_wanted, code = _filter(options), 0
    for path in files_of(options.places):
        try:
            for row in rows_of(path):
                if is_wanted(row):
                    tell(orjson.dumps(row).decode())
        except ArchiveDamagedError as error:
            tell(f"asyncflow: {error}", sys.stderr)
            code = _DAMAGED
    return code


def _filter(options: argparse.Namespace) -> Callable[[dict[str, Any]], bool]:
    wanted = {column: value for _, column in _FILTERS if (value := getattr(options, column)) is not None}
    if "status" in wanted:
        wanted["status"] = wanted["status"].upper()
    return lambda row: all(row.get(column) == value for column, value in wanted.items())


def _check(options: argparse.Namespace) -> int:
    found = [check(path) for path in files_of(options.places)]
    if options.json:
        tell(as_json([{**one._asdict(), "path": os.fsencode(one.path), "fault": _bytes(one.fault)} for one in found]))
    else:
        tell("\n".join(map(_line, found)) or "(no files)")
    return _DAMAGED if any(one.fault for one in found) else 0


def _bytes(fault: str | None) -> bytes | None:
    """Return it as bytes, which are told escaped where they are no UTF-8: a path may be anything."""
    return None if fault is None else os.fsencode(fault)


def _line(one: CheckedFile) -> str:
    state = one.fault or ("well" if one.is_sealed else "well, and not ended yet")
    return f"{one.path}  {one.rows} rows  {state}"
