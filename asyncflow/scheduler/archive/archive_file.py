"""A file of the archive while it is written: what was synced stays, and what was torn is cut off."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from io import RawIOBase
from pathlib import Path

from asyncflow.errors import ArchiveBusyError, ArchiveDamagedError
from asyncflow.scheduler.archive.members import member_of, members

try:
    import fcntl
except ImportError:  # Windows has none: two processes must not have one directory there
    fcntl = None  # type: ignore[assignment]

SUFFIX, PART, SUM = ".jsonl.gz", ".part", ".sha256"


class ArchiveFile:
    """Append to one file, which has its name when it is sealed; used by one thread.

    Opening cuts off what a killed process, or a full disk, has left behind the last whole member, and tells in
    ``last_line`` where it stands. Raises OSError, or ArchiveBusyError while another process writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(path.name + PART)
        self.last_line: bytes | None = None
        self._sum = hashlib.sha256()
        # Without a buffer, which would keep what the disk did not take, and write it behind what comes later.
        self._file: RawIOBase = self.part.open("ab", buffering=0)
        try:
            _lock(self._file, self.part)
            self._end = self._recover()
        except BaseException:
            self._file.close()
            raise

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines as one member; if that fails, nothing of it is left. ``sync`` makes it last."""
        member = member_of(lines)
        left = memoryview(member)
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += len(member)
        self._sum.update(member)

    def sync(self) -> None:
        """Return when all of it is on the disk."""
        os.fsync(self._file.fileno())

    def seal(self) -> None:
        """Give the file its name, with its checksum beside it, as ``sha256sum -c`` reads it; it is closed then."""
        self.sync()
        beside = self.path.with_name(self.path.name + SUM)
        written = beside.with_name(beside.name + PART)
        with written.open("w", encoding="utf-8") as file:
            file.write(f"{self._sum.hexdigest()}  {self.path.name}\n")
            file.flush()
            os.fsync(file.fileno())
        written.replace(beside)
        self.part.replace(self.path)
        _sync_directory(self.path.parent)
        self.close()

    def close(self) -> None:
        """Close it; what was not sealed can be opened again."""
        self._file.close()

    def _recover(self) -> int:
        """Cut off what is torn; return where the file ends."""
        end = 0
        with suppress(ArchiveDamagedError):
            for member in members(self.part):
                end = member.end
                self._sum.update(member.raw)
                self.last_line = member.lines()[-1]
        self._file.truncate(end)
        return end


def seal_left(directory: Path, prefix: str) -> None:
    """Seal files of this prefix that processes have left which are gone."""
    for part in sorted(directory.glob(f"{prefix}*{SUFFIX}{PART}")):
        with suppress(ArchiveBusyError, FileNotFoundError):
            ArchiveFile(part.with_name(part.name.removesuffix(PART))).seal()


def _lock(file: RawIOBase, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ArchiveBusyError(f"{path} is written by another process") from None
    # It may have been sealed, and so have another name, between the opening and the lock.
    if not path.exists() or os.fstat(file.fileno()).st_ino != path.stat().st_ino:
        raise ArchiveBusyError(f"{path} was sealed by another process just now")


def _sync_directory(directory: Path) -> None:
    """Have the names last as well, where a directory can be opened."""
    with suppress(OSError):
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
