"""What every event is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """Be the base of every event; ``database_name`` tells of which database among several, "" if there is one alone."""

    database_name: str = field(default="", kw_only=True)
