"""The relay: the streaming job that carries the tasks of one destination to its publisher."""

from __future__ import annotations

from sqlalchemy import Engine

from asyncflow.outbox import Outbox
from asyncflow.outbox.events import Hooks
from asyncflow.scheduler.breaker import Breaker
from asyncflow.scheduler.breakers import Breakers
from asyncflow.scheduler.database import Database
from asyncflow.scheduler.delivery import Delivery
from asyncflow.scheduler.fetcher import Fetcher, Round
from asyncflow.scheduler.ownership import Hold, Ownership
from asyncflow.scheduler.pause import AdaptivePause
from asyncflow.scheduler.publisher import Publisher
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.settlement import Settlement
from asyncflow.scheduler.settler import Settler, Unsettled
from asyncflow.scheduler.unknown_types import UnknownTypes


class Relay:
    """Fetch, deliver and settle round after round; lives as long as its scheduler, one thread steps it.

    No transaction is open while the publisher works. What was published and could not be settled, because the
    database went away, is settled before anything else is fetched.
    """

    def __init__(
        self,
        destination: str,
        publisher: Publisher,
        outbox: Outbox,
        engine: Engine,
        ownership: Ownership,
        settings: SchedulerSettings,
        unknown_types: UnknownTypes,
        hooks: Hooks,
    ) -> None:
        self.destination = destination
        self.breakers = Breakers(destination, settings, hooks)
        self._outbox = outbox
        self._ownership = ownership
        self._database = Database(engine)
        self._fetcher = Fetcher(destination, outbox, self._database, self.breakers, settings, unknown_types, hooks)
        self._delivery = Delivery(destination, publisher, outbox, engine, self.breakers, hooks)
        self._settler = Settler(destination, outbox, self._database, ownership, self._fetcher.parking, settings, hooks)
        self._pause = AdaptivePause(settings.min_pause_seconds, settings.max_pause_seconds)
        self._unsettled: Unsettled | None = None

    @property
    def breaker(self) -> Breaker:
        """Return the circuit breaker of the destination as a whole."""
        return self.breakers.of_destination

    def step(self) -> float:
        """Do one round; return the seconds until the next look, 0 after a round that found work."""
        if self._unsettled is not None:
            self._settle(self._unsettled)
        wait = self.breakers.seconds_until_probe()
        if wait > 0:
            return wait
        hold = self._ownership.in_use()
        try:
            found = self._fetcher.fetch(hold)
            hold.keep_only(found.shards())
            self._unsettled = self._deliver(found, hold)
        finally:
            if self._unsettled is None:
                hold.release()
        if self._unsettled is not None:
            self._settle(self._unsettled)
        if not found:
            return self._pause.after_nothing(found.wait_seconds)
        self._pause.reset()
        return self.breakers.seconds_until_probe()

    def expect_work(self) -> None:
        """Look often again, for a commit was announced."""
        self._pause.reset()

    def close(self) -> None:
        """Give the connection back and close the publisher."""
        self._database.close()
        self._delivery.publisher.close()

    def _deliver(self, found: Round, hold: Hold) -> Unsettled | None:
        """Deliver the round; return what is to be written, if anything is."""
        if not found:
            return None
        outcomes = list(zip(found.tasks, self._delivery.deliver(found.tasks), strict=True))
        known = ((task, outcome) for task, outcome in outcomes if outcome is not None)
        settlement = Settlement.of(known, self._outbox.task_types)
        change = self._fetcher.parking.change_of(outcomes, found.key_pages, found.met)
        return Unsettled(settlement, change, hold) if len(settlement) or len(change) else None

    def _settle(self, unsettled: Unsettled) -> None:
        self._settler.settle(unsettled)
        self._unsettled = None
        unsettled.hold.release()
