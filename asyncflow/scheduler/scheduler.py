"""The scheduler: what is deployed once per instance."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from asyncflow.errors import (
    ForkedError,
    OptionError,
    SchedulerStartedError,
    SchedulerStoppedError,
    UnknownDatabaseError,
    nearest,
)
from asyncflow.events import Hook
from asyncflow.forks import leave_at_fork
from asyncflow.outbox import Outbox
from asyncflow.scheduler.branches.blueprint import Blueprint, Given, Homes
from asyncflow.scheduler.branches.drains import Drains
from asyncflow.scheduler.branches.engines import Engines, engines_of
from asyncflow.scheduler.counters import Counters, counted
from asyncflow.scheduler.drained import Drained, together
from asyncflow.scheduler.given import GivenRegistry, Jobs, Publishers, Queues, RegistryMaker, SchedulerOptions
from asyncflow.scheduler.loops.startable import Startable, end_aside
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.start_check import require_declared, require_given, require_makeable

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Scheduler(Startable):
    """Relay committed tasks to their publishers and handlers; one per process, from ``start`` to ``stop``, not again.

    ``engine`` leads to the database; a dict of engines by names to several, each with leases, configuration and
    connections of its own, so that one that is slow or away holds up itself alone. They share the publishers.
    ``publishers`` maps destinations to publishers, which the scheduler closes at its end; none are needed where no
    messages are declared. ``options`` are the fields of SchedulerSettings, which can be given whole as ``settings``
    instead. ``jobs`` are the user's own.
    ``queues`` maps names to the queues by which tasks go to workers elsewhere. A ``hook`` receives every event.
    ``at_home`` is given by an AsyncScheduler.

    Raises UnroutedDestinationError, OptionError or UnknownOptionError.
    """

    def __init__(
        self,
        engine: Engines,
        outbox: Outbox,
        publishers: Publishers = MappingProxyType({}),
        *,
        settings: SchedulerSettings | None = None,
        jobs: Jobs = (),
        registry: GivenRegistry = None,
        queues: Queues = MappingProxyType({}),
        hooks: Iterable[Hook] = (),
        at_home: Homes = None,
        **options: Unpack[SchedulerOptions],
    ) -> None:
        if settings is not None and options:
            raise OptionError(f"settings and {', '.join(options)} are both given; put all of them into settings")
        require_given(outbox, publishers, queues)
        self.settings = settings or SchedulerSettings.of(**options)
        self.outbox = outbox
        self.engines = engines_of(engine)  # by the databases' names; "" is that of a single one
        self._publishers = dict(publishers)
        self._given_registry = registry
        self._jobs = tuple(jobs)
        self._blueprint = Blueprint(self.engines, outbox, self.settings, hooks, Given(at_home, queues))
        self.hooks = self._blueprint.hooks
        self._blueprint.require(self._jobs, registry)
        for instance in self._blueprint.instances:
            require_makeable(instance, self._publishers)
        super().__init__()
        self._make()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Be an instance of its own in the child of a fork, or nothing, if the parent has used it: called by the fork.

        The publishers are those that the parent made; what it did with them before a start, they must bear.
        """
        for branch in self.branches:
            branch.machinery.deafen()
        self._is_copy = True
        self._blueprint.forget()
        self._make()

    def _make(self) -> None:
        """Make what belongs to one process: the instance's name, its connections, threads and locks."""
        self._process = os.getpid()
        self._drains = Drains()
        self.branches = self._blueprint.make(self._publishers, self._jobs, self._given_registry)
        if not self.databases:
            (only,) = self.branches
            self.machinery = its = only.machinery
            standing, staff = its.standing, its.staff
            self.cluster, self.ownership, self.lookout = standing.cluster, standing.ownership, standing.lookout
            self.types, self.relays, self.relay_runners = standing.types, staff.relays, staff.relay_runners
            self.worker, self.metronome = staff.worker, its.pulse.metronome
        self._begin_life()

    @property
    def databases(self) -> tuple[str, ...]:
        """Return the names of its databases; none if there is a single one, which has no name."""
        return tuple(name for name in self.engines if name)

    @property
    def engine(self) -> Engine:
        """Return the engine of the only database; raises UnknownDatabaseError where there are several."""
        return self.engine_of(None)

    def engine_of(self, database: str | None) -> Engine:
        """Return the engine of the database of that name, None for the only one; raises UnknownDatabaseError."""
        if database is None and not self.databases:
            (engine,) = self.engines.values()
            return engine
        if database is None:
            raise UnknownDatabaseError(f"name one of the scheduler's databases: {', '.join(self.databases)}")
        if not database or database not in self.engines:
            known = ", ".join(self.databases) or "a single one, without a name"
            raise UnknownDatabaseError(
                f"the scheduler has no database {database!r}{nearest(database, self.databases)}; it has {known}"
            )
        return self.engines[database]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(
                f"a Scheduler has no attribute {name!r}; one of several databases has it at "
                f"scheduler.branches.by_name[...], if at all"
            )

    def start(self) -> None:
        """Check the tables, take the shards, start the loops; a second call does nothing.

        After a fork each child may start what the parent made, as an instance of its own. Of several databases those
        that cannot be begun are tried again until they can, and told of as StepFailed; it raises if none can.

        Raises OptionError for a pool that is too small, TablesMissingError, ShardCountMismatchError,
        SchedulerStoppedError, SchedulerStartedError from what a drain has at work, ForkedError if the parent of this
        process started it, or what the database raises.
        """
        self._require_process()
        if self._runs:
            return
        self._require_outside("start()")
        with self._drains.over(), self._lifecycle:
            if self._runs:
                return
            self._use()
            self.branches.begin()
            self._started = True
        self.branches.tell_started()

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Finish and settle the work in hand, give the shards back, close the publishers; return whether all ended.

        A second call returns what the first did, one before ``start`` only closes. Where its end waits for the caller,
        in a handler, a publisher, a job or a hook on its threads, it only begins to stop, and returns False: ``wait``
        elsewhere. In the child of a fork, which has not started it, it does nothing. Default: ``stop_timeout_seconds``.
        """
        if self._is_parents():
            return True
        if self.is_working_here():
            return self._end_aside(timeout_seconds)
        seconds = self.settings.stop_timeout_seconds if timeout_seconds is None else timeout_seconds
        with self._drains.over(seconds) as is_over:
            if not is_over:
                end_aside(partial(self._stop_behind, seconds))
                return False
            with self._lifecycle:
                if self._is_ending:
                    return self._is_clean
                self._is_ending = True
                self._is_clean = self.branches.end(seconds)
                self._ended.set()
        self.branches.tell_stopped()
        return self._is_clean

    def _stop_behind(self, seconds: float) -> None:
        """Stop when the drain or the start at work has ended, which uses what is closed, however long that takes."""
        with self._drains.over():
            self.stop(seconds)

    def counters(self, database: str | None = None) -> Counters:
        """Return what was counted since the scheduler was made, and the states of the circuit breakers.

        Of all databases together, or of one of several by its name. In the child of a fork: what was counted there.
        Raises UnknownDatabaseError.
        """
        self._is_parents()
        if database is None:
            return counted(branch.counters() for branch in self.branches)
        self.engine_of(database)
        return self.branches.by_name[database].counters()

    def configure_jobs(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Lay options, such as those of a TOML file, over the jobs' own, by the jobs' names, before the start.

        Raises OptionError, UnknownOptionError or SchedulerStartedError.
        """
        if self._started:
            raise SchedulerStartedError("the scheduler has started with the jobs' options; configure it before")
        next(iter(self.branches)).machinery.staff.roster.configure(options)

    @property
    def job_names(self) -> list[str]:
        """Return the names of the user's jobs."""
        return next(iter(self.branches)).machinery.staff.roster.names()

    def drain(self, *, raise_errors: bool = False) -> Drained:
        """Relay in this thread until nothing is due, and run each job once, instead of ``start``: for tests and cron.

        Returns early for a destination that is unreachable. Tells what was sent, done, failed and left, and what could
        not be reached; with ``raise_errors`` the first error is raised when all is done. Of several databases one after
        the other: what keeps one from it is among its errors, and raised if none could be drained. Raises what
        ``start`` raises, SchedulerStartedError while the loops run or from what it has at work, and LeasesLostError.
        Of several threads one drains after the other.
        """
        self._require_process()
        self._require_not_running()
        self._require_outside("drain()")
        with self._drains.one():
            self._require_not_running()
            self._use()
            apart = self.branches.drain(self.hooks)
        drained = together(apart) if self.databases else next(iter(apart.values()))
        if raise_errors:
            drained.raise_first()
        return drained

    def is_working_here(self) -> bool:
        """Tell whether the caller is what the end waits for: a loop, a handler, a job, or something they await."""
        return self._drains.is_current() or self.branches.is_working_here()

    @property
    def _runs(self) -> bool:
        return self._started and not self._ended.is_set()

    def _require_not_running(self) -> None:
        if self._runs:
            raise SchedulerStartedError("the scheduler's own threads relay already; call drain() instead of start()")

    def _require_outside(self, what: str) -> None:
        if self.is_working_here():
            raise SchedulerStartedError(f"{what} is called by what a drain has at work, and would wait for its end")

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
        """Let this process be the one that uses it, if all that was declared is ready."""
        self._used_by = os.getpid()
        if self._ended.is_set():
            raise SchedulerStoppedError("this scheduler was stopped; make a new one, with new publishers")
        for instance in self._blueprint.instances:
            require_declared(instance, self._publishers)
