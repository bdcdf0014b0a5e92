"""Errors without what differs from one to the next: by that, dead letters and outcomes are of one group."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

_LONGEST = 200
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")
_FRAMES = re.compile(r" \[[^\]]* in [^\]]*\]$")
# In this order: what stands in quotes may hold numbers, and an id is more than its digits.
_DETAILS = re.compile(
    r"""'[^']*'|"[^"]*"
    |\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b
    |\b(?:0x[0-9a-fA-F]+|(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,})\b
    |\d+""",
    re.VERBOSE,
)
_KEPT = 4096  # errors; a page looks at the same ones again and again


def error_of(log: str | None) -> str:
    """Return the last error of a task's log, without its time and where it was raised."""
    first = (log or "").partition("\n")[0]
    return _FRAMES.sub("", _TIME.sub("", first))


@lru_cache(maxsize=_KEPT)
def normalised(error: str) -> str:
    """Return an error without what differs from one to the next: numbers, ids and what stands in quotes."""
    return _DETAILS.sub(_sign_of, error)[:_LONGEST]


def _sign_of(detail: re.Match[str]) -> str:
    return "'…'" if detail[0][0] in "'\"" else "…"


def fingerprint_of(task_type: str, error: str) -> str:
    """Return the name of the group of a normalised error of a type."""
    return hashlib.sha256(f"{task_type}\0{error}".encode()).hexdigest()[:12]
