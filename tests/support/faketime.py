"""The library that shows a process another time than its machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.debian_packages import try_to_install

_NAME = "libfaketimeMT.so.1"


def faketime_library() -> Path:
    """Return libfaketime's path, installing Debian's package as root; skips aloud where it is not to be had."""
    found = _installed()
    if found is None:
        try_to_install("faketime")
        found = _installed()
    if found is None:
        pytest.skip("libfaketime is not here: `apt-get install faketime` brings it")
    return found


def _installed() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob(f"*/faketime/{_NAME}"))), None)
