"""Packages of Debian that single tests need; where one is not to be had, these tests are skipped aloud."""

from __future__ import annotations

import os
from contextlib import suppress

from tools.services.command import find, run
from tools.services.debian import ENVIRONMENT
from tools.services.errors import CannotServeError

_DEADLINE_SECONDS = 300.0


def try_to_install(package: str) -> None:
    """Install a package as root; do nothing for anybody else, and where it is not to be had."""
    if os.geteuid() != 0:
        return
    with suppress(CannotServeError):
        apt = find("apt-get")
        with suppress(CannotServeError):
            run([apt, "update"], deadline_seconds=_DEADLINE_SECONDS)
        command = [apt, "install", "-y", "--no-install-recommends", package]
        run(command, environment=ENVIRONMENT, deadline_seconds=_DEADLINE_SECONDS)
