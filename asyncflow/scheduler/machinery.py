"""The parts of one instance: made in the order in which they need each other, begun in order, ended in reverse."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from asyncflow.errors import IncompatibleVersionError
from asyncflow.events import StepFailed
from asyncflow.outbox.transaction.wakeup import place_of
from asyncflow.scheduler.given import GivenRegistry
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.jobs.job import Job
from asyncflow.scheduler.loops import steps
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.pulse import Pulse
from asyncflow.scheduler.loops.steps import Step, Stop
from asyncflow.scheduler.loops.threads import serves
from asyncflow.scheduler.loops.triggers import every, trigger_of
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.staff import Staff
from asyncflow.scheduler.standing import Standing
from asyncflow.scheduler.telling.versions_beside import await_versions

_LAST_BEAT_SECONDS = 1.0


class Machinery:
    """Hold the parts of one instance, from their making to their end; belongs to one process, and is used once.

    A ``pulse`` that is given is that of several instances of the process: whoever made it begins it before them, and
    ends it before them.
    """

    def __init__(
        self,
        instance: Instance,
        routes: Mapping[str, Route],
        jobs: Iterable[Job] = (),
        registry: GivenRegistry = None,
        pulse: Pulse | None = None,
    ) -> None:
        hooks = self._hooks = instance.hooks
        self._instance = instance
        self.standing = Standing(instance, routes.keys(), registry)
        self.staff = Staff(instance, self.standing, routes, jobs)
        self.standing.publish(self.staff.teller().tell)
        cluster = self.standing.cluster
        self._cluster_loop = Loop(
            "cluster", cluster.step, hooks, self.standing.registry.close, self.standing.alarms.cluster
        )
        self.pulse = Pulse(hooks) if pulse is None else pulse
        self._next_beat_at = 0.0
        self.steps = (
            # Ended last: while the others finish what they have in hand, the leases must not run out.
            Step(self._cluster_loop.start, lambda _: self._cluster_loop.stop(_LAST_BEAT_SECONDS)),
            Step(self.take_shares, self._end_shares),
            Step(self._begin_charts, self._end_charts),  # when there is nothing more to be counted
            Step(lambda: steps.start_all(self.staff.loops()), lambda stop: steps.stop_all(self.staff.loops(), stop)),
            Step(self._listen, lambda _: self.deafen()),
            Step(self._take_pulse, lambda _: None),
            *([Step(self.pulse.start, lambda stop: self.pulse.stop(stop.seconds_left))] if pulse is None else []),
        )

    def start(self) -> None:
        """Begin the steps in their order; one that failed may be begun again. Raises what taking the shares raises."""
        steps.begin(self.steps)

    def stop(self, seconds: float) -> bool:
        """End the steps in reverse; return whether all that was in hand is finished, and the shards given back."""
        return steps.end(self.steps, seconds)

    def is_working_here(self) -> bool:
        """Tell whether the caller is on the thread of a loop or of an end, or is a handler or a job at work."""
        is_loop = any(loop.is_current() for loop in self._all_loops())
        return is_loop or self.staff.is_working_here() or serves(self)

    def take_shares(self) -> None:
        """Take part in the cluster with all jobs.

        Raises ShardCountMismatchError, OptionError, IncompatibleVersionError, or from the database.
        """
        self.standing.types.read()
        self.standing.ownership.acquire()
        self._require_versions()
        self.staff.cleaner.put_in_order()
        self.staff.roster.enter()

    def give_shares_back(self) -> None:
        """Leave the cluster; what cannot be given back runs out by itself."""
        self.staff.roster.leave()
        try:
            self.standing.ownership.release()
        except Exception as error:  # noqa: BLE001 - the database may be gone
            self._hooks.emit(StepFailed("stop", error, 0.0))

    def drain(self) -> None:
        """Work in this thread until nothing is due, and run each job once, while the shares are taken."""
        with self.standing.lookout.without_rest():
            self.staff.drain(self._beat_if_due)

    def deafen(self) -> None:
        """Hear of no commits any more."""
        self._instance.outbox.bell.disconnect(self.staff.expect_work)

    # -- beginning and ending ----------------------------------------------------------------------------

    def _require_versions(self) -> None:
        """Leave the cluster, and raise IncompatibleVersionError, beside one that has started at the same moment."""
        try:
            await_versions(self._instance.engine, self._instance.outbox, self.standing.ownership.owner)
        except IncompatibleVersionError:
            self.give_shares_back()
            raise

    def _listen(self) -> None:
        if self._instance.settings.wake_on_commit:
            place = place_of(self._instance.engine) if self._instance.database_name else None
            self._instance.outbox.bell.connect(self.staff.expect_work, place)

    def _take_pulse(self) -> None:
        metronome, settings, alarms = self.pulse.metronome, self._instance.settings, self.standing.alarms
        for runner in (*self.staff.relay_runners, *self.staff.roster.runners):
            metronome.add(runner.settings.trigger(), runner.tick)
        for latch in (alarms.handlers, *alarms.dispatchers.values()):
            metronome.add(trigger_of(settings.tick), latch.tick)
        metronome.add(every(settings.cleaning_interval_seconds), alarms.cleaner.tick)
        self.pulse.watch(self._revive)

    def _end_shares(self, stop: Stop) -> None:
        """Give back what no thread uses any more."""
        if stop.is_clean:
            stop.requires(self.give_shares_back, self)

    def _begin_charts(self) -> None:
        """Let them be written by a thread of their own, unless the keepers of one of several databases do that."""
        if not self._instance.database_name:
            self.staff.charts_loop.start()

    def _end_charts(self, stop: Stop) -> None:
        """Have the last counts written; that this failed leaves no work behind."""
        charts = self.staff.charts_loop
        if charts.stop(stop.seconds_left):
            stop.awaits(charts.close, self)

    # -- what happens meanwhile --------------------------------------------------------------------------

    def _all_loops(self) -> list[Loop]:
        return [*self.staff.loops(), self.staff.charts_loop, self._cluster_loop]

    def _revive(self) -> None:
        for loop in self._all_loops():
            loop.revive()

    def _beat_if_due(self) -> None:
        if time.monotonic() >= self._next_beat_at:
            self._next_beat_at = time.monotonic() + self.standing.cluster.step()
