"""Programs that run to their end: found, run as the right account, and reported when they fail."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.services.errors import CannotServeError

ERROR_CHARACTERS_SHOWN = 500

# Where servers are installed, which the PATH of a user who is not root may leave out.
_SYSTEM = (Path("/usr/local/sbin"), Path("/usr/sbin"), Path("/sbin"))


def find(*names: str, places: Sequence[Path] = ()) -> str:
    """Return the path of the first program found under one of the names; CannotServeError if none is."""
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", os.defpath), *map(str, _SYSTEM)])
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        raise CannotServeError(f"{' or '.join(names)} is not installed")
    return found


def run(
    command: Sequence[str],
    *,
    account: str | None = None,
    environment: Mapping[str, str] | None = None,
    words: str = "",
    deadline_seconds: float = 60.0,
) -> str:
    """Run a program to its end with `words` as its input, and return its output.

    Raises CannotServeError if it fails or takes too long, with the end of what it said.
    """
    try:
        done = subprocess.run(
            command,
            input=words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_seconds,
            check=False,
            cwd="/",  # the caller's own directory may be closed to the account
            env={**os.environ, **(environment or {})},
            user=account,
            group=group_of(account),
        )
    except subprocess.TimeoutExpired as late:
        raise CannotServeError(f"{_short(command)} took more than {deadline_seconds:.0f} seconds") from late
    said = (done.stdout + done.stderr).strip()
    if done.returncode:
        raise CannotServeError(f"{_short(command)} failed: {said[-ERROR_CHARACTERS_SHOWN:] or 'without a word'}")
    return said


def group_of(account: str | None) -> int | None:
    """Return the group that an account belongs to; None for the caller's own account."""
    return None if account is None else pwd.getpwnam(account).pw_gid


def account_exists(account: str) -> bool:
    """Tell whether the machine has that account."""
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def _short(command: Sequence[str]) -> str:
    """Return the beginning of a command, enough to know it by."""
    return f"`{' '.join(command[:3])}`"
