"""The log under a logger of one's own; without it, a scheduler writes the same lines under ``asyncflow``."""

from __future__ import annotations

from asyncflow.event_log import EventLog, level_of, line_of

__all__ = ["LoggingHook", "level_of", "line_of"]


class LoggingHook(EventLog):
    """Write each event as one line to ``logger``, by default ``asyncflow``, in place of the scheduler's own log."""
