"""Who does it, and why: for the audit."""

from __future__ import annotations

import argparse
import getpass


def add_actor_options(sub: argparse.ArgumentParser) -> None:
    """Add the options that the audit tells."""
    sub.add_argument("--actor", default=user(), help="who does it, for the audit (default: %(default)s)")
    sub.add_argument("--reason", help="why, for the audit")


def user() -> str:
    """Return the name of who runs the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
