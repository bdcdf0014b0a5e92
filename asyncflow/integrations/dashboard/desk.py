"""What pages look at and act on."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Engine

from asyncflow.integrations.dashboard.kept import Kept
from asyncflow.integrations.dashboard.redaction import Redaction
from asyncflow.outbox import Outbox


@dataclass(frozen=True)
class Desk:
    """Hold one outbox, with the rules of what of it is shown."""

    engine: Engine
    outbox: Outbox
    redaction: Redaction
    trace_url: str | None = None
    kept: Kept = field(default_factory=Kept)
