"""The settings of a queue's worker: one table of defaults, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.outbox.options import field_names, require_seconds, settings_of
from asyncflow.outbox.tables import OWNER_LENGTH
from asyncflow.scheduler.queues.notes import LONGEST_LEASE_SECONDS
from asyncflow.text import require_text

_LEAST_SECONDS = 0.001


@dataclass(frozen=True, kw_only=True)
class QueueWorkerSettings:
    """Configure one worker of a queue. Raises OptionError, naming the option and what is allowed."""

    name: str | None = None  # in its log; None: host, process and some luck
    claim_lease_seconds: float = 30.0  # after which what a killed worker had at work is given back; renewed
    min_pause_seconds: float = 0.005  # before the first look after nothing was found; doubles with each
    max_pause_seconds: float = 5.0  # where the doubling ends
    stop_timeout_seconds: float = 30.0  # how long stop() waits for work in hand

    def __post_init__(self) -> None:
        if self.name is not None:
            require_text("name", self.name, OWNER_LENGTH, OptionError)
        for name in _SECONDS:
            require_seconds(name, getattr(self, name), _LEAST_SECONDS, LONGEST_LEASE_SECONDS)

    @classmethod
    def of(cls, **options: Any) -> QueueWorkerSettings:
        """Make settings from keyword options; raises UnknownOptionError with the nearest name."""
        return settings_of(cls, "QueueWorker", options)


_SECONDS = tuple(name for name in field_names(QueueWorkerSettings) if name.endswith("_seconds"))
