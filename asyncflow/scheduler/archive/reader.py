"""What stands in an archive, read and checked without a database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from asyncflow.errors import ArchiveDamagedError, OptionError
from asyncflow.scheduler.archive.archive_file import PART, SUFFIX, SUM
from asyncflow.scheduler.archive.members import members


class CheckedFile(NamedTuple):
    """Tell of a file how many rows it has, whether it is sealed, and what is wrong with it."""

    path: Path
    rows: int
    is_sealed: bool
    fault: str | None


def files_of(places: list[str]) -> list[Path]:
    """Return the files of the archive in directories, and those named; raises OptionError for what is neither."""
    found: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            names = (*place.glob(f"*{SUFFIX}"), *place.glob(f"*{SUFFIX}{PART}"))
            found += sorted(names)
        elif place.is_file():
            found.append(place)
        else:
            raise OptionError(f"{place} is neither a file nor a directory; give the archive_directory, or files of it")
    return found


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a file; raises ArchiveDamagedError behind the last that can be read, of a sealed file."""
    try:
        for member in members(path):
            yield from map(orjson.loads, member.lines())
    except ArchiveDamagedError:
        if _is_sealed(path):
            raise


def check(path: Path) -> CheckedFile:
    """Read a file to its end, and compare it with its checksum."""
    rows, is_sealed, total = 0, _is_sealed(path), hashlib.sha256()
    try:
        for member in members(path):
            rows += len(member.lines())
            total.update(member.raw)
    except ArchiveDamagedError as error:
        return CheckedFile(path, rows, is_sealed, str(error) if is_sealed else None)
    return CheckedFile(path, rows, is_sealed, _fault(path, total.hexdigest()) if is_sealed else None)


def _fault(path: Path, found: str) -> str | None:
    beside = path.with_name(path.name + SUM)
    if not beside.exists():
        return f"{beside} is missing, so nothing tells whether {path.name} is whole"
    wanted = beside.read_text(encoding="utf-8").split(" ", 1)[0]
    return None if wanted == found else f"{path}: its checksum is {found}, and {beside.name} has {wanted}"


def _is_sealed(path: Path) -> bool:
    return not path.name.endswith(PART)
