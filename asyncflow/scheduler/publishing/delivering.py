"""A delivery that is under way, as a hook sees it that stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.route import Route


@dataclass(slots=True, eq=False)
class Delivering:
    """Tell of one batch that a publisher is given; ``outcomes``, one for each record, are there at the end."""

    destination: str
    system: str  # what kind of broker it is
    records: Sequence[Record]
    outcomes: Sequence[Outcome] = ()

    @classmethod
    def of(cls, route: Route, records: Sequence[Record]) -> Delivering:
        """Return the delivery of a batch on its way to a destination."""
        return cls(route.destination, str(getattr(route.publisher, "system", route.destination)), records)

    @property
    def topics(self) -> list[str]:
        """Return the topics of the batch, each once."""
        return list(dict.fromkeys(record.topic for record in self.records))
