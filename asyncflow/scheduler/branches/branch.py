"""One database of a scheduler: its instance there, and how that begins, drains and ends."""

from __future__ import annotations

import threading
from dataclasses import replace

from asyncflow.events import Hooks, SchedulerStarted, SchedulerStopped
from asyncflow.scheduler.counters import Counters, Tally
from asyncflow.scheduler.drain_log import DrainLog
from asyncflow.scheduler.drained import Drained
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.machinery import Machinery
from asyncflow.scheduler.start_check import require_database


class Branch:
    """Hold the instance in one database, and its parts; belongs to one process, and is begun and ended once.

    The thread of its starter begins it, or the one that starts the scheduler; who stops that ends it. Where the end
    does not wait for a try to begin, the try ends what it has begun.
    """

    def __init__(self, instance: Instance, tally: Tally, machinery: Machinery) -> None:
        self.instance = instance
        self.tally = tally
        self.machinery = machinery
        self.is_begun = False
        self._is_ending = False
        self._stop_lock = threading.Lock()
        self._is_clean = False  # until its end has come, and was one

    @property
    def name(self) -> str:
        """Return the database's name; "" if there is one alone."""
        return self.instance.database_name

    @property
    def owner(self) -> str:
        """Return the instance's name."""
        return self.machinery.standing.ownership.owner

    def begin(self) -> None:
        """Look at the database and begin; after a failure it may be tried again. Raises what is wrong there.

        Does nothing, or undoes it, when it is to end.
        """
        require_database(self.instance)
        if self._is_ending:
            return
        try:
            self.machinery.start()
        finally:
            if self._is_ending:
                self._stop(self.instance.settings.stop_timeout_seconds)
        self.is_begun = not self._is_ending

    def ask_to_end(self) -> None:
        """Begin no more; any thread may ask."""
        self._is_ending = True

    def end(self, seconds: float) -> bool:
        """End within so many seconds; return whether all that was in hand is finished."""
        self.ask_to_end()
        self._is_clean = self._stop(seconds)
        return self._is_clean

    def _stop(self, seconds: float) -> bool:
        if not self._stop_lock.acquire(timeout=max(0.0, seconds)):
            return False  # a try that was in hand is at it
        try:
            return self.machinery.stop(seconds)
        finally:
            self._stop_lock.release()

    def drain(self, hooks: Hooks) -> Drained:
        """Work in this thread until nothing is due, as ``hooks`` hear; raises LeasesLostError, or from the database."""
        log = DrainLog(self.instance.outbox)
        with hooks.heard_by(log):
            require_database(self.instance)
            self.machinery.take_shares()
            try:
                self.machinery.drain()
            finally:
                self.machinery.give_shares_back()
        drained = log.drained(self.instance.engine)
        # Of a breaker that was open before, maybe by another database, no event has told.
        shut = {name for name, state in self.counters().breakers.items() if state != "closed"}
        return replace(drained, unreachable=tuple(sorted(shut.union(drained.unreachable))))

    def tell_started(self) -> None:
        """Tell the hooks that it runs, and what for."""
        outbox, settings = self.instance.outbox, self.instance.settings
        self.instance.hooks.emit(
            SchedulerStarted(
                self.owner,
                settings.instance_index,
                settings.instance_count,
                database=self.instance.engine.url.set(query={}).render_as_string(hide_password=True),
                destinations=tuple(relay.destination for relay in self.machinery.staff.relays),
                messages=tuple(outbox.task_types),
                handlers=tuple(name for name, kind in outbox.handler_types.items() if kind.handler is not None),
                periodic_tasks=tuple(outbox.periodic_tasks),
                jobs=tuple(self.machinery.staff.roster.names()),
            )
        )

    def tell_stopped(self) -> None:
        """Tell the hooks that it has ended, if it had begun."""
        if self.is_begun:
            self.instance.hooks.emit(SchedulerStopped(self.owner, self._is_clean))

    def counters(self) -> Counters:
        """Return what was counted here, and the states of the circuit breakers of its destinations."""
        staff = self.machinery.staff
        breakers = {name: state for relay in staff.relays for name, state in relay.breakers.states().items()}
        return self.tally.counters((runner.board for runner in staff.relay_runners), breakers)

    def fault(self) -> str | None:
        """Return why it is not at work; None if it has begun, and its leases are held."""
        return self.machinery.standing.ownership.fault() if self.is_begun else "it has not been begun yet"
