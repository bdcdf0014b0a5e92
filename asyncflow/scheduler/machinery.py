"""The parts of one instance: made in the order in which they need each other, begun in order, ended in reverse."""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from apscheduler.triggers.interval import IntervalTrigger

from asyncflow.events import LoopRestarted, StepFailed
from asyncflow.scheduler.alarms import Alarms
from asyncflow.scheduler.charts.chart_writer import ChartWriter
from asyncflow.scheduler.cluster.allocation import Allocation, Fixed, SharedOut
from asyncflow.scheduler.cluster.cluster import Cluster
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.departed import Departed
from asyncflow.scheduler.cluster.membership import News
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB, instance_name
from asyncflow.scheduler.cluster.registry import Registry
from asyncflow.scheduler.cluster.rhythm import Rhythm
from asyncflow.scheduler.cluster.share import Share
from asyncflow.scheduler.cluster.strategies import strategy_of
from asyncflow.scheduler.configuration.types_in_force import TypesInForce
from asyncflow.scheduler.heads.lookout import Lookout
from asyncflow.scheduler.heads.unknown_types import UnknownTypes
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.jobs.job import Job
from asyncflow.scheduler.jobs.roster import Roster
from asyncflow.scheduler.jobs.run import Assignment
from asyncflow.scheduler.jobs.runner import JobRunner
from asyncflow.scheduler.loops import steps
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.metronome import Metronome
from asyncflow.scheduler.loops.steps import Step, Stop
from asyncflow.scheduler.loops.triggers import trigger_of
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.publisher import Publisher
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.relay.relay import Relay
from asyncflow.scheduler.scope import Scope
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.telling.teller import Informants, Teller
from asyncflow.scheduler.upkeep.cleaner import Cleaner
from asyncflow.scheduler.upkeep.timetable import Timetable
from asyncflow.scheduler.worker.handler_call import Tools
from asyncflow.scheduler.worker.rescuing.monitor import Monitor, Wards
from asyncflow.scheduler.worker.shard_claims import ShardClaims
from asyncflow.scheduler.worker.worker import Worker
from asyncflow.scheduler.workload import Workload

_WATCH_SECONDS = 1.0


class Machinery:
    """Hold the parts of one instance, from their making to their end; belongs to one process, and is used once."""

    def __init__(
        self,
        instance: Instance,
        publishers: Mapping[str, Publisher],
        jobs: Iterable[Job] = (),
        registry: Registry | None = None,
    ) -> None:
        outbox, engine, settings, hooks = instance.outbox, instance.engine, instance.settings, instance.hooks
        self._outbox, self._hooks = outbox, hooks
        # What wakes, before what is woken by it.
        self.alarms = Alarms(publishers, Departed(settings.claim_lease_seconds), hooks)
        share = Share(self.alarms.cluster.wake)
        unknown_types = UnknownTypes(ChainMap[str, Any](outbox.task_types, outbox.handler_types), hooks)
        self.lookout = Lookout(settings.tick, settings.heartbeat_seconds, unknown_types, share.epochs)
        if not publishers and not outbox.handler_types:
            self.lookout.look_for_nobody()
        look_anew = partial(self.alarms.on_change, self.lookout)
        # What there is to work on.
        rhythm = Rhythm(settings.lease_seconds, settings.heartbeat_seconds)
        own_registry = None
        if registry is None:
            own_registry = registry = DatabaseRegistry(engine, outbox, instance_name(), rhythm, self.lookout)
        self.cluster = Cluster(registry, rhythm, hooks, self.alarms.cluster.wake)
        self.ownership = self.cluster.ownership_of(
            OUTBOX_JOB,
            outbox.shard_count,
            _allocation(settings, registry.instance),
            share=share,
            news=News(look_anew, self.alarms.on_view),
        )
        self.types = TypesInForce(outbox, engine, settings.configuration_interval_seconds, hooks, look_anew)
        scope = Scope(self.ownership, self.types, self.lookout)
        # What works.
        self.relays = [
            Relay(instance, Route(name, publisher, Breakers(name, settings, hooks)), scope, summons.wake)
            for (name, publisher), summons in zip(publishers.items(), self.alarms.summons.values(), strict=True)
        ]
        self.relay_runners = [self._runner(relay) for relay in self.relays]
        source = ShardClaims(instance, scope, self.alarms.handlers.wake)
        tools = Tools(source, engine, outbox.max_message_bytes, instance.at_home)
        self.worker = Worker(self.types.handlers, tools, settings, hooks, self.alarms.handlers.wake)
        wards = Wards(
            shards=self.ownership.epochs,
            types=self.types.handlers,
            interval_seconds=settings.monitor_interval_seconds,
            lease_seconds=settings.lease_seconds,
            departed=self.alarms.departed,
            lookout=self.lookout,
        )
        self.monitor = Monitor(outbox, engine, wards, hooks, self._on_rescued)
        self.timetable = Timetable(instance)
        self.cleaner = Cleaner(instance, self.ownership, look_anew)
        self.chart_writer = ChartWriter(outbox, instance.database(), instance.counts, hooks)
        if own_registry is not None:
            own_registry.bulletin.ask(self._teller(instance, unknown_types).tell)
        self.roster = Roster(jobs, engine, outbox, self.cluster, hooks)
        # What lets it work.
        alarms = self.alarms
        self._cluster_loop = Loop("cluster", self.cluster.step, hooks, registry.close, alarms.cluster)
        self._own_loops = (
            Loop("handlers", self.worker.step, hooks, self.worker.close, alarms.handlers),
            Loop("monitor", self.monitor.step, hooks, self.monitor.close, alarms.monitor),
            Loop("periodic", self.timetable.step, hooks, self.timetable.close),
            Loop("cleaner", self.cleaner.step, hooks, self.cleaner.close, alarms.cleaner),
            Loop("configuration", self.types.step, hooks, self.types.close),
        )
        self._charts_loop = Loop("charts", self.chart_writer.step, hooks, self.chart_writer.close)
        self._watchdog = Loop("watchdog", self._watch, hooks)
        self.metronome = self._metronome(settings)
        self._next_beat_at = 0.0
        self._is_ending = False
        self.steps = (
            # Ended last: while the others finish what they have in hand, the leases must not run out.
            Step(self._cluster_loop.start, lambda _: self._cluster_loop.stop(_WATCH_SECONDS)),
            Step(self.take_shares, self._end_shares),
            Step(self._charts_loop.start, self._end_charts),  # when there is nothing more to be counted
            Step(
                lambda: steps.start_all(self.working_loops()), lambda stop: steps.stop_all(self.working_loops(), stop)
            ),
            Step(lambda: self._listen(settings), lambda _: self.deafen()),
            Step(self._beat, lambda _: self.metronome.stop()),
            Step(self._watchdog.start, lambda stop: self._watchdog.stop(stop.seconds_left)),
        )

    def start(self) -> None:
        """Begin the steps in their order; one that failed may be begun again. Raises what taking the shares raises."""
        steps.begin(self.steps)

    def stop(self, seconds: float) -> bool:
        """End the steps in reverse; return whether all that was in hand is finished, and the shards given back."""
        self._is_ending = True
        return steps.end(self.steps, seconds)

    def is_working_here(self) -> bool:
        """Tell whether the caller is on the thread of a loop that works."""
        return any(loop.is_current() for loop in (*self.working_loops(), self._charts_loop))

    def working_loops(self) -> list[Loop]:
        """Return the loops that do the work; the jobs' are there from the start on."""
        runners = (*self.relay_runners, *self.roster.runners)
        return [*(runner.loop for runner in runners), *self._own_loops]

    def take_shares(self) -> None:
        """Take part in the cluster with all jobs; raises ShardCountMismatchError, OptionError, or from the database."""
        self.types.read()
        self.ownership.acquire()
        self.cleaner.put_in_order()
        self.roster.enter()

    def give_shares_back(self) -> None:
        """Leave the cluster; what cannot be given back runs out by itself."""
        self.roster.leave()
        try:
            self.ownership.release()
        except Exception as error:  # noqa: BLE001 - the database may be gone
            self._hooks.emit(StepFailed("stop", error, 0.0))

    def drain(self) -> None:
        """Work in this thread until nothing is due, and run each job once, while the shares are taken."""
        with self.lookout.without_rest():
            self._drain()

    def _drain(self) -> None:
        self.ownership.await_share()
        while self.cleaner.strays.put_back():
            self._beat_if_due()
        self.cleaner.close()
        for relay in self.relays:
            self._exhaust(relay.step)
        self._exhaust(self.timetable.step)
        self.monitor.step()
        self.worker.drain(self._beat_if_due)
        for runner in self.roster.runners:
            runner.share.await_share()
            runner.drain(self._beat_if_due)
        self.chart_writer.close()

    def deafen(self) -> None:
        """Hear of no commits any more."""
        self._outbox.bell.disconnect(self._on_commit)

    # -- making ------------------------------------------------------------------------------------------

    def _runner(self, relay: Relay) -> JobRunner:
        summons = self.alarms.summons[relay.destination]
        return JobRunner(Assignment(relay, self.ownership, summons, self._hooks), at_end=relay.close)

    def _teller(self, instance: Instance, unknown_types: UnknownTypes) -> Teller:
        workload, relays = Workload(self.worker), self.relays
        informants = Informants(
            outbox=instance.outbox,
            settings=instance.settings,
            lately=instance.lately,
            unknown_types=unknown_types,
            spent=lambda: [*workload.paced(), *(name for relay in relays for name in relay.spent())],
            crews=workload.full_crews,
            in_hand=lambda: workload.in_hand() + sum(relay.in_hand for relay in relays),
        )
        return Teller(informants, instance.hooks)

    def _metronome(self, settings: SchedulerSettings) -> Metronome:
        metronome = Metronome()
        for runner in self.relay_runners:
            metronome.add(runner.settings.trigger(), runner.tick)
        metronome.add(trigger_of(settings.tick), self.alarms.handlers.tick)
        metronome.add(IntervalTrigger(seconds=settings.cleaning_interval_seconds), self.alarms.cleaner.tick)
        return metronome

    # -- beginning and ending ----------------------------------------------------------------------------

    def _listen(self, settings: SchedulerSettings) -> None:
        if settings.wake_on_commit:
            self._outbox.bell.connect(self._on_commit)

    def _beat(self) -> None:
        for runner in self.roster.runners:
            self.metronome.add(runner.settings.trigger(), runner.tick)
        self.metronome.start()

    def _end_shares(self, stop: Stop) -> None:
        """Give back what no thread uses any more."""
        if stop.is_clean:
            self.give_shares_back()

    def _end_charts(self, stop: Stop) -> None:
        """Have the last counts written; that this failed leaves no work behind."""
        if self._charts_loop.stop(stop.seconds_left) and not self._charts_loop.is_current():
            self._charts_loop.close()

    # -- what happens meanwhile --------------------------------------------------------------------------

    def _on_commit(self, task_types: frozenset[str]) -> None:
        self.lookout.disturb()
        types = self._outbox.task_types
        destinations = {types[name].destination for name in task_types if name in types}
        if not task_types.isdisjoint(self._outbox.handler_types):
            self._expect_tasks()
        for relay, runner in zip(self.relays, self.relay_runners, strict=True):
            if relay.destination in destinations:
                relay.expect_work()
                runner.summons.wake()

    def _on_rescued(self) -> None:
        self.lookout.disturb()
        self._expect_tasks()

    def _expect_tasks(self) -> None:
        self.worker.expect_work()
        self.alarms.handlers.wake()

    def _watch(self) -> float:
        """Revive what died; a thread can end by an error that no handler sees."""
        for loop in (*self.working_loops(), self._charts_loop, self._cluster_loop):
            loop.revive()
        if not self.metronome.is_alive() and not self._is_ending:
            self._hooks.emit(LoopRestarted("metronome"))
            self.metronome.stop()
            self.metronome.start()
        return _WATCH_SECONDS

    def _exhaust(self, step: Callable[[], float]) -> None:
        while step() == 0:
            self._beat_if_due()

    def _beat_if_due(self) -> None:
        if time.monotonic() >= self._next_beat_at:
            self._next_beat_at = time.monotonic() + self.cluster.step()


def _allocation(settings: SchedulerSettings, instance: str) -> Allocation:
    if settings.instance_count is None:
        return SharedOut(OUTBOX_JOB, strategy_of(settings.sharding_strategy))
    return Fixed(instance, settings.instance_index, settings.instance_count)
