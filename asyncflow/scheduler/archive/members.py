"""The members of a gzip file: each is written at once, and holds whole lines, so that only the last can be torn."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from asyncflow.errors import ArchiveDamagedError

_CHUNK_BYTES = 1 << 20
_GZIP = 31  # how zlib names the format
_LEVEL = 6


class GzipMember(NamedTuple):
    """Hold the lines of one member, and what of the file it is: as bytes, and where it ends."""

    raw: bytes
    text: bytes
    end: int

    def lines(self) -> list[bytes]:
        """Return its lines."""
        return self.text.splitlines()


def member_of(lines: Iterable[bytes]) -> bytes:
    """Return lines as one member, the same ones always as the same bytes."""
    return gzip.compress(b"".join(line + b"\n" for line in lines), _LEVEL, mtime=0)


def members(path: Path) -> Iterator[GzipMember]:
    """Read one member after the other; raises ArchiveDamagedError where one is torn, or is none."""
    with path.open("rb") as file:
        raw, left, end = bytearray(), b"", 0
        inflate, text = zlib.decompressobj(_GZIP), bytearray()
        while chunk := left or file.read(_CHUNK_BYTES):
            try:
                text += inflate.decompress(chunk)
            except zlib.error as error:
                raise ArchiveDamagedError(f"{path}: what stands behind byte {end} cannot be read: {error}") from error
            left = inflate.unused_data
            raw += chunk[: len(chunk) - len(left)]
            if inflate.eof:
                end += len(raw)
                yield GzipMember(bytes(raw), bytes(text), end)
                raw, inflate, text = bytearray(), zlib.decompressobj(_GZIP), bytearray()
        if raw:
            raise ArchiveDamagedError(f"{path}: it ends in the middle of what begins at byte {end}")
