"""The scheduler: what is deployed once per instance."""

from __future__ import annotations

import os
import threading
import time
from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import Any

from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Engine

from asyncflow.errors import (
    ForkedError,
    OptionError,
    SchedulerStartedError,
    SchedulerStoppedError,
    UnroutedDestinationError,
)
from asyncflow.events import Hook, Hooks, LoopRestarted, RowsLocked, SchedulerStarted, SchedulerStopped, StepFailed
from asyncflow.forks import leave_at_fork
from asyncflow.outbox import Outbox
from asyncflow.scheduler.cluster.allocation import Allocation, Fixed, SharedOut
from asyncflow.scheduler.cluster.cluster import Cluster
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.departed import Departed
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB, instance_name
from asyncflow.scheduler.cluster.registry import Registry
from asyncflow.scheduler.cluster.strategies import strategy_of
from asyncflow.scheduler.configuration.types_in_force import TypesInForce
from asyncflow.scheduler.connections.engine_check import require_engine
from asyncflow.scheduler.counters import Counters, Tally
from asyncflow.scheduler.heads.lookout import Lookout
from asyncflow.scheduler.heads.unknown_types import UnknownTypes
from asyncflow.scheduler.jobs.job import Job
from asyncflow.scheduler.jobs.roster import Roster
from asyncflow.scheduler.jobs.runner import JobRunner
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.metronome import Metronome
from asyncflow.scheduler.loops.triggers import trigger_of
from asyncflow.scheduler.pool_check import require_connections
from asyncflow.scheduler.publishing.publisher import Publisher
from asyncflow.scheduler.publishing.taken import require_taken
from asyncflow.scheduler.relay.relay import Relay
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.table.table_check import require_tables
from asyncflow.scheduler.upkeep.cleaner import Cleaner
from asyncflow.scheduler.upkeep.timetable import Timetable
from asyncflow.scheduler.worker.monitor import Monitor
from asyncflow.scheduler.worker.shard_claims import ShardClaims
from asyncflow.scheduler.worker.worker import DESTINATION as HANDLERS
from asyncflow.scheduler.worker.worker import Worker

_WATCH_SECONDS = 1.0


class Scheduler:
    """Relay committed tasks to their publishers and handlers; one per process, from ``start`` to ``stop``, not again.

    ``publishers`` maps destinations to publishers, which the scheduler closes at its end. ``options`` are the
    fields of SchedulerSettings, which can be given whole as ``settings`` instead. ``jobs`` are the user's own. A
    ``hook`` receives every event.

    Raises UnroutedDestinationError, OptionError or UnknownOptionError.
    """

    def __init__(
        self,
        engine: Engine,
        outbox: Outbox,
        publishers: Mapping[str, Publisher],
        *,
        settings: SchedulerSettings | None = None,
        jobs: Iterable[Job] = (),
        registry: Registry | None = None,
        hooks: Iterable[Hook] = (),
        **options: Any,
    ) -> None:
        if settings is not None and options:
            raise OptionError(f"settings and {', '.join(options)} are both given; put all of them into settings")
        self.settings = settings or SchedulerSettings.of(**options)
        self.outbox = outbox
        self.engine = engine
        self._tally = Tally()
        self.hooks = Hooks([self._tally, *Hooks(hooks)])
        self._publishers = dict(publishers)
        self._given_registry = registry
        self._jobs = tuple(jobs)
        _require_routes(outbox, self._publishers)
        _require_share(self.settings, outbox)
        self._used_by: int | None = None  # the first process that started or drained it
        self._is_copy = False  # of one that the parent made
        self._make()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Be an instance of its own in the child of a fork, or nothing, if the parent has used it: called by the fork.

        The publishers are those that the parent made; what it did with them before a start, they must bear.
        """
        self.outbox.bell.disconnect(self._wake)
        self._is_copy = True
        self._tally.clear()
        self._make()

    def _make(self) -> None:
        """Make what belongs to one process: the instance's name, its connections, threads and locks."""
        outbox, engine = self.outbox, self.engine
        self._process = os.getpid()
        unknown_types = UnknownTypes(ChainMap[str, Any](outbox.task_types, outbox.handler_types), self.hooks)
        self.lookout = Lookout(self.settings.tick, self.settings.heartbeat_seconds, unknown_types)
        registry = self._given_registry
        if registry is None:
            lease_seconds = self.settings.lease_seconds
            registry = DatabaseRegistry(engine, outbox, instance_name(), lease_seconds, self.lookout)
        self.cluster = Cluster(registry, self.settings.lease_seconds, self.settings.heartbeat_seconds, self.hooks)
        self.ownership = self.cluster.ownership_of(
            OUTBOX_JOB, outbox.shard_count, _allocation(self.settings, registry.instance)
        )
        self.lookout.owned = self.ownership.epochs
        its = (outbox, engine, self.ownership, self.settings)
        self.types = types = TypesInForce(outbox, engine, self.settings.configuration_interval_seconds, self.hooks)
        self.relays = [
            Relay(name, publisher, *its, types.messages, unknown_types, self.lookout, self.hooks)
            for name, publisher in self._publishers.items()
        ]
        self._claims = ShardClaims(*its, self.lookout, types.handlers)
        self._claims.caution.on_locked = lambda rows: self.hooks.emit(RowsLocked(HANDLERS, rows))
        self.worker = Worker(outbox, self._claims, engine, self.settings, self.hooks, types.handlers)
        shards = self.ownership.epochs
        self._departed = Departed(self.settings.claim_lease_seconds)
        self._monitor = Monitor(outbox, engine, shards, self.settings, types.handlers, self.hooks, self._departed)
        self._monitor.rely_on(self.lookout)
        self._timetable = Timetable(outbox, engine, self.settings, self.hooks)
        self._roster = Roster(self._jobs, engine, outbox, self.cluster, self.hooks)
        self._cleaner = Cleaner(outbox, engine, self.ownership, self.settings, self.hooks)
        self._lifecycle = threading.RLock()  # a hook on our thread may call back
        self._started = self._stopping = False
        self._ended = threading.Event()
        self._next_beat_at = 0.0
        self._make_loops()

    def start(self) -> None:
        """Check the tables, take the shards, start the loops; a second call does nothing.

        After a fork each child may start what the parent made, as an instance of its own.

        Raises OptionError for a pool that is too small, TablesMissingError, ShardCountMismatchError,
        SchedulerStoppedError, ForkedError if the parent of this process started it, or what the database raises.
        """
        self._require_process()
        with self._lifecycle:
            if self._started and not self._ended.is_set():
                return
            self._used_by = os.getpid()
            self._take_shards()
            self._started = True
            if self.settings.wake_on_commit:
                self.outbox.bell.connect(self._wake)
            for runner in self._roster.runners:
                self.metronome.add(runner.settings.trigger(), runner.tick)
            self.metronome.start()
            for loop in (self._cluster_loop, *self._working_loops(), self._watchdog):
                loop.start()
        settings = self.settings
        self.hooks.emit(SchedulerStarted(self.ownership.owner, settings.instance_index, settings.instance_count))

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Finish and settle the work in hand, give the shards back, close the publishers; return whether all ended.

        A second call does nothing, one before ``start`` only closes. A hook may call it: the step in hand then
        ends on its own thread. In the child of a fork, which has not started it, it does nothing.
        Default: ``stop_timeout_seconds``.
        """
        if self._is_parents():
            return True
        if self._stopping and any(loop.is_current() for loop in self._working_loops()):
            return True  # the one who stops waits for this very thread
        with self._lifecycle:
            if self._stopping:
                return True
            self._stopping = True
            default = self.settings.stop_timeout_seconds
            clean = self._stop_loops(default if timeout_seconds is None else timeout_seconds)
            if clean:
                self._release()
            self._cluster_loop.stop(_WATCH_SECONDS)
            self._ended.set()
        if self._started:
            self.hooks.emit(SchedulerStopped(self.ownership.owner, clean))
        return clean

    def counters(self) -> Counters:
        """Return what was counted since the scheduler was made, and the states of the circuit breakers.

        In the child of a fork: what was counted there.
        """
        self._is_parents()
        breakers = {name: state for relay in self.relays for name, state in relay.breakers.states().items()}
        return self._tally.counters((runner.board for runner in self.relay_runners), breakers)

    def configure_jobs(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Lay options, such as those of a TOML file, over the jobs' own, by the jobs' names, before the start.

        Raises OptionError, UnknownOptionError or SchedulerStartedError.
        """
        if self._started:
            raise SchedulerStartedError("the scheduler has started with the jobs' options; configure it before")
        self._roster.configure(options)

    @property
    def job_names(self) -> list[str]:
        """Return the names of the user's jobs."""
        return self._roster.names()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the scheduler was stopped; return whether it was."""
        self._is_parents()
        return self._ended.wait(timeout_seconds)

    def drain(self) -> None:
        """Relay in this thread until nothing is due, and run each job once, instead of ``start``: for tests and cron.

        Returns early for a destination that is unreachable. Raises what ``start`` raises, and
        SchedulerStartedError while the loops run.
        """
        self._require_process()
        if self._started and not self._ended.is_set():
            raise SchedulerStartedError("the scheduler's own threads relay already; call drain() instead of start()")
        self._used_by = os.getpid()
        self._take_shards()
        self.lookout.disturb()
        try:
            self.ownership.await_share()
            for relay in self.relays:
                while relay.step() == 0:
                    self._beat_if_due()
            while self._timetable.step() == 0:
                self._beat_if_due()
            self._monitor.step()
            self.worker.drain(self._beat_if_due)
            for runner in self._roster.runners:
                runner.share.await_share()
                runner.drain(self._beat_if_due)
        finally:
            self._give_shards_back()

    def __enter__(self) -> Scheduler:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_loops(self) -> None:
        self.relay_runners = [
            JobRunner(relay, self.ownership, self.hooks, name=f"relay-{relay.destination}", at_end=relay.close)
            for relay in self.relays
        ]
        self.ownership.on_change = self._look_at_shards
        self.ownership.on_view = self._look_at_instances
        self._monitor.on_rescued = self._look_at_tasks
        self._cleaner_loop = Loop("cleaner", self._cleaner.step, self.hooks, self._cleaner.close)
        self._handler_loop = Loop("handlers", self.worker.step, self.hooks, self.worker.close)
        self.worker.on_finished = self._handler_loop.latch.wake
        self._configuration_loop = Loop("configuration", self.types.step, self.hooks, self.types.close)
        self.types.on_change = self._look_at_shards
        self._claims.rest.wake = self._handler_loop.latch.wake
        for relay, runner in zip(self.relays, self.relay_runners, strict=True):
            relay.rest.wake = runner.wake
        self._monitor_loop = Loop("monitor", self._monitor.step, self.hooks, self._monitor.close)
        self._timetable_loop = Loop("periodic", self._timetable.step, self.hooks, self._timetable.close)
        # Stopped last: while the others finish what they have in hand, the leases must not run out.
        self._cluster_loop = Loop("cluster", self.cluster.step, self.hooks, self.cluster.registry.close)
        self.cluster.on_drained = self._cluster_loop.latch.wake
        self._watchdog = Loop("watchdog", self._watch, self.hooks)
        self.metronome = Metronome()
        for runner in self.relay_runners:
            self.metronome.add(runner.settings.trigger(), runner.tick)
        self.metronome.add(trigger_of(self.settings.tick), self._handler_loop.latch.tick)
        interval = IntervalTrigger(seconds=self.settings.cleaning_interval_seconds)
        self.metronome.add(interval, self._cleaner_loop.latch.tick)

    def _working_loops(self) -> list[Loop]:
        """Return the loops that do the work; the jobs' are there from the start on."""
        runners = (*self.relay_runners, *self._roster.runners)
        own = (self._handler_loop, self._monitor_loop, self._timetable_loop, self._cleaner_loop)
        return [*(runner.loop for runner in runners), *own, self._configuration_loop]

    @property
    def relay_loops(self) -> list[Loop]:
        """Return the loops of the relays, one for each destination."""
        return [runner.loop for runner in self.relay_runners]

    def _look_at_instances(self, present: Collection[str], gone: Collection[str]) -> None:
        if self._departed.see(present, gone):
            self._monitor_loop.latch.wake()

    def _look_at_tasks(self) -> None:
        self.lookout.disturb()
        self.worker.expect_work()
        self._handler_loop.latch.wake()

    def _look_at_shards(self) -> None:
        self.lookout.disturb()
        if self._departed.names():
            self._monitor_loop.latch.wake()
        for loop in (*self.relay_loops, self._handler_loop):
            loop.latch.wake()

    def _wake(self, task_types: frozenset[str]) -> None:
        self.lookout.disturb()
        types = self.outbox.task_types
        destinations = {types[name].destination for name in task_types if name in types}
        if not task_types.isdisjoint(self.outbox.handler_types):
            self.worker.expect_work()
            self._handler_loop.latch.wake()
        for relay, runner in zip(self.relays, self.relay_runners, strict=True):
            if relay.destination in destinations:
                relay.expect_work()
                runner.wake()

    def _watch(self) -> float:
        """Revive what died; a thread can end by an error that no handler sees."""
        for loop in (*self._working_loops(), self._cluster_loop):
            loop.revive()
        if not self.metronome.is_alive() and not self._ended.is_set():
            self.hooks.emit(LoopRestarted("metronome"))
            self.metronome.stop()
            self.metronome.start()
        return _WATCH_SECONDS

    def _stop_loops(self, timeout_seconds: float) -> bool:
        deadline = time.monotonic() + timeout_seconds
        self.outbox.bell.disconnect(self._wake)
        self._watchdog.stop(timeout_seconds)
        self.metronome.stop()
        loops = self._working_loops()
        for loop in loops:
            loop.ask_to_stop()
        ended = [loop.stop(deadline - time.monotonic()) for loop in loops]
        return all(ended)

    def _beat_if_due(self) -> None:
        if time.monotonic() >= self._next_beat_at:
            self._next_beat_at = time.monotonic() + self.cluster.step()

    def _is_parents(self) -> bool:
        """Tell whether what is here is the parent's of this process, of which nothing is ours to end."""
        if self._process != os.getpid():  # forked by something that calls no Python
            self.leave_to_parent()
        return self._is_copy and self._used_by != os.getpid()

    def _require_process(self) -> None:
        """Raise ForkedError for what the parent has used, or what cannot be made once more in this process."""
        if self._is_parents() and self._used_by is not None:
            raise ForkedError(
                f"this scheduler was started by process {self._used_by}, of which process {os.getpid()} is a fork: its "
                f"publishers are in use there. Make a scheduler with publishers of its own in the child, or start none "
                f"before the fork"
            )
        if self._is_copy and self._given_registry is not None:
            raise ForkedError(
                f"this scheduler has the registry of the instance {self._given_registry.instance!r}, which was made "
                f"before the fork; make the registry and the scheduler in the child"
            )

    def _take_shards(self) -> None:
        if self._ended.is_set():
            raise SchedulerStoppedError("this scheduler was stopped; make a new one, with new publishers")
        # Types may have been declared since the scheduler was made.
        _require_routes(self.outbox, self._publishers)
        require_taken(self.outbox, self._publishers)
        require_connections(self.engine, len(self.relays) + bool(self.outbox.handler_types))
        require_engine(self.engine, self.outbox)
        require_tables(self.engine, self.outbox)
        self.types.read()
        self.ownership.acquire()
        self._roster.enter()

    def _release(self) -> None:
        """Give back what no thread uses any more."""
        for loop in self._working_loops():
            if not loop.is_current():
                loop.close()
        self._give_shards_back()

    def _give_shards_back(self) -> None:
        self._roster.leave()
        try:
            self.ownership.release()
        except Exception as error:  # noqa: BLE001 - the database may be gone; the leases run out by themselves
            self.hooks.emit(StepFailed("stop", error, 0.0))


def _require_routes(outbox: Outbox, destinations: Collection[str]) -> None:
    for task_type in outbox.task_types.values():
        if task_type.destination not in destinations:
            given = ", ".join(map(repr, destinations)) or "none"
            raise UnroutedDestinationError(
                f"the task type {task_type.name!r} goes to {task_type.destination!r}, for which there is no "
                f"publisher (given: {given}); add it to publishers={{...}} or change the destination"
            )


def _allocation(settings: SchedulerSettings, instance: str) -> Allocation:
    if settings.instance_count is None:
        return SharedOut(OUTBOX_JOB, strategy_of(settings.sharding_strategy))
    return Fixed(instance, settings.instance_index, settings.instance_count)


def _require_share(settings: SchedulerSettings, outbox: Outbox) -> None:
    if settings.instance_count is not None and settings.instance_count > outbox.shard_count:
        raise OptionError(
            f"instance_count is {settings.instance_count}, but there are {outbox.shard_count} shards to share; "
            f"give at most {outbox.shard_count}"
        )
