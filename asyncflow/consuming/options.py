"""Checks of what consumers of several brokers are told."""

from __future__ import annotations

from asyncflow.outbox.options import require_seconds

_LEAST_SECONDS, _MOST_SECONDS = 1.0, 3600.0


def require_dead_after(seconds: float) -> float:
    """Return the seconds after which a silent consumer is dead; raises OptionError."""
    require_seconds("dead_after_seconds", seconds, _LEAST_SECONDS, _MOST_SECONDS)
    return float(seconds)
