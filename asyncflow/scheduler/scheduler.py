"""The scheduler: what is deployed once per instance."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from asyncflow.errors import ForkedError, OptionError, SchedulerStartedError, SchedulerStoppedError
from asyncflow.event_log import LoggedHooks
from asyncflow.events import Hook, Hooks, SchedulerStarted, SchedulerStopped
from asyncflow.forks import leave_at_fork
from asyncflow.outbox import Outbox
from asyncflow.scheduler.counters import Counters, Tally
from asyncflow.scheduler.drain_log import DrainLog
from asyncflow.scheduler.drained import Drained
from asyncflow.scheduler.given import GivenRegistry, Jobs, Publishers, RegistryMaker, SchedulerOptions
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.loops.callers_loop import AtHome
from asyncflow.scheduler.loops.startable import Startable
from asyncflow.scheduler.machinery import Machinery
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.start_check import require_makeable, require_ready

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Scheduler(Startable):
    """Relay committed tasks to their publishers and handlers; one per process, from ``start`` to ``stop``, not again.

    ``publishers`` maps destinations to publishers, which the scheduler closes at its end. ``options`` are the
    fields of SchedulerSettings, which can be given whole as ``settings`` instead. ``jobs`` are the user's own. A
    ``hook`` receives every event. ``at_home`` is given by an AsyncScheduler.

    Raises UnroutedDestinationError, OptionError or UnknownOptionError.
    """

    def __init__(
        self,
        engine: Engine,
        outbox: Outbox,
        publishers: Publishers,
        *,
        settings: SchedulerSettings | None = None,
        jobs: Jobs = (),
        registry: GivenRegistry = None,
        hooks: Iterable[Hook] = (),
        at_home: AtHome | None = None,
        **options: Unpack[SchedulerOptions],
    ) -> None:
        if settings is not None and options:
            raise OptionError(f"settings and {', '.join(options)} are both given; put all of them into settings")
        self.settings = settings or SchedulerSettings.of(**options)
        self.outbox = outbox
        self.engine = engine
        self._tally = Tally()
        self.hooks = LoggedHooks([self._tally, *Hooks(hooks)])
        self._instance = Instance(outbox, engine, self.settings, self.hooks, at_home)
        self._tally.hand_on_to(self._instance.lately, self._instance.counts)
        self._publishers = dict(publishers)
        self._given_registry = registry
        self._jobs = tuple(jobs)
        require_makeable(self._instance, self._publishers)
        super().__init__()
        self._make()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Be an instance of its own in the child of a fork, or nothing, if the parent has used it: called by the fork.

        The publishers are those that the parent made; what it did with them before a start, they must bear.
        """
        self.machinery.deafen()
        self._is_copy = True
        self._tally.clear()
        self._instance.lately.clear()
        self._instance.counts.clear()
        self._make()

    def _make(self) -> None:
        """Make what belongs to one process: the instance's name, its connections, threads and locks."""
        self._process = os.getpid()
        self.machinery = its = Machinery(self._instance, self._publishers, self._jobs, self._given_registry)
        standing, staff = its.standing, its.staff
        self.cluster, self.ownership, self.lookout = standing.cluster, standing.ownership, standing.lookout
        self.types, self.relays, self.relay_runners = standing.types, staff.relays, staff.relay_runners
        self.worker, self.metronome = staff.worker, its.metronome
        self._begin_life()
        self._stopping = False

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
            self._use()
            self.machinery.start()
            self._started = True
        self.hooks.emit(self._started_event())

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Finish and settle the work in hand, give the shards back, close the publishers; return whether all ended.

        A second call does nothing, one before ``start`` only closes. A hook may call it: the step in hand then
        ends on its own thread. In the child of a fork, which has not started it, it does nothing.
        Default: ``stop_timeout_seconds``.
        """
        if self._is_parents():
            return True
        if self._stopping and self.machinery.is_working_here():
            return True  # the one who stops waits for this very thread
        with self._lifecycle:
            if self._stopping:
                return True
            self._stopping = True
            default = self.settings.stop_timeout_seconds
            clean = self.machinery.stop(default if timeout_seconds is None else timeout_seconds)
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
        return self._tally.counters((runner.board for runner in self.machinery.staff.relay_runners), breakers)

    def configure_jobs(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Lay options, such as those of a TOML file, over the jobs' own, by the jobs' names, before the start.

        Raises OptionError, UnknownOptionError or SchedulerStartedError.
        """
        if self._started:
            raise SchedulerStartedError("the scheduler has started with the jobs' options; configure it before")
        self.machinery.staff.roster.configure(options)

    @property
    def job_names(self) -> list[str]:
        """Return the names of the user's jobs."""
        return self.machinery.staff.roster.names()

    def drain(self, *, raise_errors: bool = False) -> Drained:
        """Relay in this thread until nothing is due, and run each job once, instead of ``start``: for tests and cron.

        Returns early for a destination that is unreachable. Tells what was sent, done, failed and left, and what could
        not be reached; with ``raise_errors`` the first error is raised when all is done. Raises what ``start`` raises,
        SchedulerStartedError while the loops run, and LeasesLostError.
        """
        log = DrainLog(self.outbox)
        with self.hooks.heard_by(log):
            self._drain()
        drained = log.drained(self.engine)
        if raise_errors:
            drained.raise_first()
        return drained

    def _drain(self) -> None:
        self._require_process()
        if self._started and not self._ended.is_set():
            raise SchedulerStartedError("the scheduler's own threads relay already; call drain() instead of start()")
        self._use()
        self.machinery.take_shares()
        try:
            self.machinery.drain()
        finally:
            self.machinery.give_shares_back()

    def _started_event(self) -> SchedulerStarted:
        outbox, settings = self.outbox, self.settings
        return SchedulerStarted(
            self.ownership.owner,
            settings.instance_index,
            settings.instance_count,
            database=self.engine.url.set(query={}).render_as_string(hide_password=True),
            destinations=tuple(self._publishers),
            messages=tuple(outbox.task_types),
            handlers=tuple(name for name, kind in outbox.handler_types.items() if kind.handler is not None),
            periodic_tasks=tuple(outbox.periodic_tasks),
            jobs=tuple(self.job_names),
        )

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
        given = self._given_registry
        if self._is_copy and given is not None and not isinstance(given, RegistryMaker):
            raise ForkedError(
                f"this scheduler has the registry of the instance {given.instance!r}, which was made "
                f"before the fork; make the registry and the scheduler in the child"
            )

    def _use(self) -> None:
        """Let this process be the one that uses it, if all is ready."""
        self._used_by = os.getpid()
        if self._ended.is_set():
            raise SchedulerStoppedError("this scheduler was stopped; make a new one, with new publishers")
        require_ready(self._instance, self._publishers)
