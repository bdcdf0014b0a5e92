"""Checks of what consumers of several brokers are told."""

from __future__ import annotations

from asyncflow.errors import OptionError
from asyncflow.text import shown

_LEAST_SECONDS, _MOST_SECONDS = 1.0, 3600.0


def require_dead_after(seconds: object) -> float:
    """Return the seconds after which a silent consumer is dead; raises OptionError."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise OptionError(f"dead_after_seconds is {shown(seconds)}; give a number of seconds")
    if not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        raise OptionError(f"dead_after_seconds is {seconds:g}; give {_LEAST_SECONDS:g} to {_MOST_SECONDS:g}")
    return float(seconds)
