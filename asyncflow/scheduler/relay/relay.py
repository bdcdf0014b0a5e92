"""The relay: the streaming job that carries the tasks of one destination to its publisher."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from asyncflow.events import StepFailed
from asyncflow.leash import Leash
from asyncflow.outbox import Task
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.cluster.share import Hold
from asyncflow.scheduler.configuration.types_here import TypesHere
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.jobs.context import ShareContext
from asyncflow.scheduler.jobs.job import DataflowJob
from asyncflow.scheduler.jobs.settings import JobSettings
from asyncflow.scheduler.loops.pause import AdaptivePause
from asyncflow.scheduler.publishing.breaker import Breaker
from asyncflow.scheduler.publishing.delivery import Delivery
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.publishing.waves import Waves
from asyncflow.scheduler.relay.fetcher import Fetcher
from asyncflow.scheduler.relay.keys.parking import Parking
from asyncflow.scheduler.relay.keys.parking_change import ParkingChange
from asyncflow.scheduler.relay.locked_rows import LockedRows
from asyncflow.scheduler.relay.newcomers import Newcomers
from asyncflow.scheduler.relay.retry_spread import RetrySpread
from asyncflow.scheduler.relay.round import Round
from asyncflow.scheduler.relay.settlement import Settlement, Unsettled
from asyncflow.scheduler.relay.settler import Settler
from asyncflow.scheduler.relay.shared import Shared
from asyncflow.scheduler.scope import Scope


class Relay(DataflowJob[ShareContext, Round]):
    """Fetch, deliver and settle round after round; lives as long as its scheduler, one thread runs it.

    No transaction is open while the publisher works. While a backlog streams, a second writer settles a round as the
    next one goes on, which reads other lanes. What was published and could not be settled, because the database
    went away, is settled before anything else is fetched.
    """

    takes_whole_share = True
    holds_its_items = True  # only those of the round in hand, and until it is settled
    starts_at_once = True

    def __init__(self, instance: Instance, route: Route, scope: Scope, wake: Callable[[], None] = lambda: None) -> None:
        settings = instance.settings
        super().__init__(OUTBOX_JOB, settings=_job_settings(route.destination, instance))
        self.destination = route.destination
        self.breakers = route.breakers
        self._types = TypesHere(scope.types.messages, route.destination)
        self._hooks = instance.hooks
        self._ownership = scope.ownership
        self._database = instance.database()
        self._parking = Parking(instance.outbox, self._types)
        locked = LockedRows(lambda name: instance.outbox.task_types[name].ordered)
        shared = Shared(self._types, self._database, self._parking, locked)
        self._fetcher = Fetcher(instance, route, shared, scope.lookout)
        self._newcomers = Newcomers(instance, route, shared, scope, self._fetcher.allowances)
        self._delivery = Delivery(instance, route)
        self._spread = RetrySpread()
        self._settler = Settler(instance, route.destination, shared, scope.ownership)
        self._pause = AdaptivePause(settings.min_pause_seconds, settings.max_pause_seconds)
        self.in_hand = 0  # messages that are being delivered or settled
        self._wait_seconds = 0.0  # after the last fetch, for who asks when to fetch next
        self.rest = scope.lookout.rest_for(self._concerns, wake=wake, is_ahead=self._fetcher.is_ahead)

    @property
    def breaker(self) -> Breaker:
        """Return the circuit breaker of the destination as a whole."""
        return self.breakers.of_destination

    def step(self) -> float:
        """Do one round; return the seconds until the next look, 0 after a round that found work."""
        return self.breakers.seconds_until_probe() if self.run_batch(None) else self.seconds_until_next_fetch()

    def fetch_data(self, context: ShareContext) -> Round | None:
        """Fetch the next round, unless the destination is closed off; hold its shards until it is settled."""
        self._wait_seconds = max(self._settler.catch_up(), self.breakers.seconds_until_probe())
        found = self._fetch() if self._wait_seconds == 0 else None
        if found is None and self._settler.unsettled:
            self._settler.settle_all()
            # There may be more where rows were in hand.
            found = self._fetch() if self._wait_seconds == 0 else None
        return found

    def process_data(self, context: ShareContext, found: Round) -> None:
        """Deliver a round and settle it."""
        self.in_hand = len(found.tasks)
        try:
            self._settler.settle(self._delivered(found), by_second=found.leaves_others)
        finally:
            self.in_hand = 0

    def _delivered(self, found: Round) -> Unsettled:
        try:
            return self._deliver(found)
        except BaseException:
            self._settler.let_go_of(found.hold)
            raise

    def finish_in_hand(self) -> None:
        """Settle what was published, so that its shards can be handed over; raises what the database raises."""
        self._settler.settle_all()
        self._settler.catch_up()

    def seconds_until_next_fetch(self) -> float:
        """Return how long to wait after a fetch that found nothing."""
        return min(self._wait_seconds, self._settler.locked.seconds_until_retry)

    def spent(self) -> list[str]:
        """Return the task types that their rate holds back; any thread may ask."""
        return self._fetcher.allowances.spent()

    def expect_work(self, task_types: Set[str] = frozenset()) -> None:
        """Look often again, for a commit was announced, of these types; and between the waves of the round in hand."""
        self._newcomers.expect(task_types)
        self._pause.reset()

    def give_connections_back(self) -> None:
        """Give the connections back; the next round takes others."""
        self._settler.give_connection_back()
        self._database.close()

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
                self._delivery.route.publisher.close()
        except Exception as error:  # noqa: BLE001 - everything is settled; a client that is stuck spoils no clean end
            self._hooks.emit(StepFailed(f"relay-{self.destination}", error, 0.0))

    def _fetch(self) -> Round | None:
        """Fetch a round and hold its shards, or note how long to wait."""
        hold, found = self._ownership.in_use(), None
        try:
            found = self._look(hold)
        finally:
            self._settler.let_go_of(hold, but_for=found.shards() if found else ())
        return found

    def _look(self, hold: Hold) -> Round | None:
        """Fetch a round of the shards held, unless nothing can be due; None if there is none."""
        unsettled = bool(self._settler.unsettled)
        owned = frozenset(hold.epochs.items())
        if not unsettled and self.rest.lasts(owned):
            self._wait_seconds = self._pause.after_nothing(self.rest.seconds)
            return None
        found = self._fetcher.fetch(hold, self._settler.lanes() if unsettled else frozenset())
        if found:
            self.rest.after_work()
            self._pause.reset()
            return found
        if not unsettled:
            self.rest.after_nothing(owned, found.wait_seconds)
        self._wait_seconds = 0.0 if unsettled else self._pause.after_nothing(found.wait_seconds)
        return None

    def _concerns(self, head: Head) -> bool:
        return head.task_type in self._types

    def _deliver(self, found: Round) -> Unsettled:
        """Deliver the round; return what is to be written."""
        outcomes = self._delivery.deliver(found.tasks, lambda: found.hold.lasts, self._joining(found))
        self._fetcher.observe(found, outcomes, self._delivery.seconds_a_wave)
        settlement = Settlement.of(found.tasks, outcomes, self._types.here)
        if settlement.retried:
            settlement.retried = self._spread.over(settlement.retried, self._types.ordered)
        settlement.due_times = found.due_times
        settlement.superseded = found.not_sent.over(found.tasks, outcomes)
        change = self._parking.change_of(found, outcomes) if self._types.ordered else ParkingChange()
        return Unsettled(settlement, change, found.hold)

    def _joining(self, found: Round) -> Callable[[Waves], Sequence[Task]] | None:
        """Return what tells between two waves who joins the round; None if nobody would wait long for its end."""
        if not found.lets_join() or self.breakers.is_probing:
            return None
        return self._newcomers.joining(found, self._settler.lanes(), self._fetcher.most_rows)


def _job_settings(destination: str, instance: Instance) -> JobSettings:
    settings = instance.settings
    return JobSettings(
        cron=settings.tick,
        sharding_total_count=instance.outbox.shard_count,
        sharding_strategy=settings.sharding_strategy,
        streaming_process=True,
        monitor_execution=False,  # a row's status tells more exactly what was at work
        description=f"carries committed tasks to {destination}",
    )
