"""The library that shows a process another time than its machine's."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from tools.services.command import find, run
from tools.services.errors import CannotServeError

_NAME = "libfaketimeMT.so.1"
_DEADLINE_SECONDS = 300.0


def faketime_library() -> Path:
    """Return libfaketime's path, installing Debian's package as root; skips aloud where it is not to be had."""
    found = _installed()
    if found is None and os.geteuid() == 0:
        with suppress(CannotServeError):
            apt = find("apt-get")
            with suppress(CannotServeError):
                run([apt, "update"], deadline_seconds=_DEADLINE_SECONDS)
            run([apt, "install", "-y", "--no-install-recommends", "faketime"], deadline_seconds=_DEADLINE_SECONDS)
        found = _installed()
    if found is None:
        pytest.skip("libfaketime is not here: `apt-get install faketime` brings it")
    return found


def _installed() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob(f"*/faketime/{_NAME}"))), None)
