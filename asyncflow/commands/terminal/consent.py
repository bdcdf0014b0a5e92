"""The question before what changes much."""

from __future__ import annotations

import sys


def is_confirmed(question: str) -> bool:
    """Ask a person at a terminal; where there is none, nobody agrees."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False
