"""What there is to see at a moment; the screens draw it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from time import monotonic

from examples.registration_demo.show.books import Tally


class State(Enum):
    """Name what a process is doing."""

    STARTING = "starting"
    UP = "up"
    STOPPED = "stopped"
    KILLED = "killed"
    ENDED = "ended"


class Tone(Enum):
    """Tell good news from bad."""

    GOOD = "✓"
    BAD = "✗"
    PLAIN = "·"


@dataclass(frozen=True)
class Happening:
    """Be one event of the show, ``at`` seconds after its beginning."""

    at: float
    tone: Tone
    text: str


@dataclass
class View:
    """Hold the state of the show; the conductor writes it, a screen draws it."""

    where: str
    users: int
    tally: Tally = field(default_factory=Tally)
    states: dict[str, State] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)
    _begin: float = field(default_factory=monotonic)

    @property
    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return monotonic() - self._begin
