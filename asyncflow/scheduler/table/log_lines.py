"""The lines of a row's log: errors in one line, as every database takes them."""

from __future__ import annotations

from datetime import datetime, timezone

_LONGEST_ERROR = 300


def short_error(error: str) -> str:
    """Return an error's text on one line, as every database takes it."""
    # No database takes half a surrogate pair, PostgreSQL no NUL: the outcome must be written all the same.
    clean = error.replace("\0", "").encode(errors="backslashreplace").decode()
    return " ".join(clean.split())[:_LONGEST_ERROR]


def log_line(error: str) -> str:
    """Return a line for a row's ``schedule_log``."""
    # For people only, and never compared: this process's clock will do.
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {error}\n"
