"""The relay: the streaming job that carries the tasks of one destination to its publisher."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine

from asyncflow.events import Hooks, StepFailed
from asyncflow.leash import Leash
from asyncflow.outbox import MessageType, Outbox
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB, Hold, Ownership
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.connections.limits import Limits
from asyncflow.scheduler.heads.lookout import Lookout
from asyncflow.scheduler.heads.unknown_types import UnknownTypes
from asyncflow.scheduler.jobs.context import ShareContext
from asyncflow.scheduler.jobs.job import DataflowJob
from asyncflow.scheduler.jobs.settings import JobSettings
from asyncflow.scheduler.loops.pause import AdaptivePause
from asyncflow.scheduler.publishing.breaker import Breaker
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.delivery import Delivery
from asyncflow.scheduler.publishing.publisher import Publisher
from asyncflow.scheduler.relay.fetcher import Fetcher
from asyncflow.scheduler.relay.round import Round
from asyncflow.scheduler.relay.settlement import Settlement
from asyncflow.scheduler.relay.settler import Settler
from asyncflow.scheduler.relay.unsettled import Unsettled
from asyncflow.scheduler.settings import SchedulerSettings


class Relay(DataflowJob[ShareContext, Round]):
    """Fetch, deliver and settle round after round; lives as long as its scheduler, one thread runs it.

    No transaction is open while the publisher works. While a backlog streams, a second writer settles a round as the
    next one goes on, which reads other lanes. What was published and could not be settled, because the database
    went away, is settled before anything else is fetched.
    """

    takes_whole_share = True
    holds_its_items = True  # only those of the round in hand, and until it is settled
    starts_at_once = True

    def __init__(
        self,
        destination: str,
        publisher: Publisher,
        outbox: Outbox,
        engine: Engine,
        ownership: Ownership,
        settings: SchedulerSettings,
        types: Mapping[str, MessageType],
        unknown_types: UnknownTypes,
        lookout: Lookout,
        hooks: Hooks,
    ) -> None:
        super().__init__(OUTBOX_JOB, settings=_job_settings(destination, outbox, settings))
        self.destination = destination
        self.breakers = Breakers(destination, settings, hooks)
        self._types = types
        self._hooks = hooks
        self._ownership = ownership
        self._database = Database(engine, limits=Limits.within(settings.lease_seconds))
        self._fetcher = Fetcher(
            destination, outbox, self._database, self.breakers, settings, types, unknown_types, lookout, hooks
        )
        self._delivery = Delivery(destination, publisher, outbox, engine, self.breakers, hooks)
        self._settler = Settler(
            destination, outbox, engine, self._database, ownership, self._fetcher.parking, settings, hooks
        )
        self._fetcher.locked = self._settler.locked
        self._pause = AdaptivePause(settings.min_pause_seconds, settings.max_pause_seconds)
        self._wait_seconds = 0.0
        self.rest = lookout.rest_for(lambda head: self._is_mine(head.task_type))
        self.rest.is_ahead = self._fetcher.is_ahead

    @property
    def breaker(self) -> Breaker:
        """Return the circuit breaker of the destination as a whole."""
        return self.breakers.of_destination

    def step(self) -> float:
        """Do one round; return the seconds until the next look, 0 after a round that found work."""
        return self.breakers.seconds_until_probe() if self.run_batch(None) else self.seconds_until_next_fetch()

    def fetch_data(self, context: ShareContext) -> Round | None:
        """Fetch the next round, unless the destination is closed off; hold its shards until it is settled."""
        if self._settler.is_behind:
            self._settler.settle_all()
        self._settler.retry_locked()
        self._wait_seconds = self.breakers.seconds_until_probe()
        if self._settler.locked.is_full:
            self._wait_seconds = max(self._wait_seconds, self._settler.locked.seconds_until_retry)
        found = self._fetch() if self._wait_seconds == 0 else None
        if found is None and self._settler:
            self._settler.settle_all()
            # There may be more where rows were in hand.
            found = self._fetch() if self._wait_seconds == 0 else None
        return found

    def process_data(self, context: ShareContext, found: Round) -> None:
        """Deliver a round and settle it."""
        assert found.hold is not None
        unsettled = None
        try:
            unsettled = self._deliver(found, found.hold)
        finally:
            if unsettled is None:
                found.hold.release()
        if unsettled is not None:
            self._settler.settle(unsettled, by_second=found.leaves_others)

    def seconds_until_next_fetch(self) -> float:
        """Return how long to wait after a fetch that found nothing."""
        return min(self._wait_seconds, self._settler.locked.seconds_until_retry)

    def expect_work(self) -> None:
        """Look often again, for a commit was announced."""
        self._pause.reset()

    def close(self) -> None:
        """Settle what is in hand, give the connections back and close the publisher."""
        try:
            self._settler.close()
        finally:
            self._database.close()
            self._close_publisher()

    def _close_publisher(self) -> None:
        try:
            with Leash():
                self._delivery.publisher.close()
        except Exception as error:  # noqa: BLE001 - everything is settled; a client that is stuck spoils no clean end
            self._hooks.emit(StepFailed(f"relay-{self.destination}", error, 0.0))

    def _fetch(self) -> Round | None:
        """Fetch a round and hold its shards, or note how long to wait."""
        hold = self._ownership.in_use()
        owned = frozenset(hold.items())
        if not self._settler and self.rest.lasts(owned):
            hold.release()
            self._wait_seconds = self._pause.after_nothing(self.rest.seconds)
            return None
        try:
            found = self._fetcher.fetch(hold, self._settler.lanes())
        except BaseException:
            hold.release()
            raise
        if not found:
            hold.release()
            if not self._settler:
                self.rest.after_nothing(owned, found.wait_seconds)
            self._wait_seconds = 0.0 if self._settler else self._pause.after_nothing(found.wait_seconds)
            return None
        hold.keep_only(found.shards())
        self.rest.after_work()
        self._pause.reset()
        found.hold = hold
        return found

    def _is_mine(self, task_type: str) -> bool:
        declared = self._types.get(task_type)
        return declared is not None and declared.destination == self.destination

    def _deliver(self, found: Round, hold: Hold) -> Unsettled | None:
        """Deliver the round; return what is to be written, if anything is."""
        outcomes = self._delivery.deliver(found.tasks, lambda: hold.lasts)
        settlement = Settlement.of(found.tasks, outcomes, self._types)
        change = self._fetcher.parking.change_of(found.tasks, outcomes, found.key_pages, found.met, found.surplus)
        change.in_the_way = found.in_the_way
        return Unsettled(settlement, change, hold) if len(settlement) or len(change) else None


def _job_settings(destination: str, outbox: Outbox, settings: SchedulerSettings) -> JobSettings:
    return JobSettings(
        cron=settings.tick,
        sharding_total_count=outbox.shard_count,
        sharding_strategy=settings.sharding_strategy,
        streaming_process=True,
        monitor_execution=False,  # a row's status tells more exactly what was at work
        description=f"carries committed tasks to {destination}",
    )
