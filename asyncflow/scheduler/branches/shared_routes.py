"""The ways to destinations that all databases of one scheduler share."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from asyncflow.events import Hooks
from asyncflow.scheduler.loops.fair_lock import FairLock
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.publisher import Outcome, Publisher, Record
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.settings import SchedulerSettings


class SharedRoutes:
    """Make the routes of each database; lives as long as the process's part of the scheduler, any thread may ask.

    A destination that does not answer one database does not answer the others either: its breakers are one. Its
    publisher, which one thread may call at a time, is lent to whoever's turn it is, and closed by the last that closes.
    """

    def __init__(
        self, publishers: Mapping[str, Publisher], settings: SchedulerSettings, hooks: Hooks, databases: int
    ) -> None:
        self.breakers = {name: Breakers(name, settings, hooks) for name in publishers}
        self._turns = {name: FairLock() for name in publishers}
        self._lenders = {name: _Lender(publisher, databases) for name, publisher in publishers.items()}

    def of_one(self) -> dict[str, Route]:
        """Return the routes for one more of the databases."""
        return {
            name: Route(name, LentPublisher(lender), self.breakers[name], self._turns[name])
            for name, lender in self._lenders.items()
        }


class _Lender:
    """Hold a publisher until so many have closed it; any thread may, each for itself once."""

    def __init__(self, publisher: Publisher, borrowers: int) -> None:
        self.publisher = publisher
        self._borrowers = borrowers
        self._lock = threading.Lock()

    def give_back(self) -> None:
        """Close it, if this was the last."""
        with self._lock:
            self._borrowers -= 1
            is_last = self._borrowers == 0
        if is_last:
            self.publisher.close()


class LentPublisher:
    """Be a publisher for one database's relay, whose thread uses it; what it tells of itself is the lender's."""

    def __init__(self, lender: _Lender) -> None:
        self._lender = lender
        self._is_closed = False

    def publish(self, batch: Sequence[Record], /) -> Sequence[Outcome]:
        """Publish."""
        return self._lender.publisher.publish(batch)

    def close(self) -> None:
        """Give it back."""
        if not self._is_closed:
            self._is_closed = True
            self._lender.give_back()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lender.publisher, name)
