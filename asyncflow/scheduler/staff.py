"""Who works in an instance: relays, worker, and the keepers of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from asyncflow.scheduler.charts.chart_writer import ChartWriter
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.jobs.job import Job
from asyncflow.scheduler.jobs.roster import Roster
from asyncflow.scheduler.jobs.run import Assignment
from asyncflow.scheduler.jobs.runner import JobRunner
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.rota import Duty, Rota
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.queues.post import PostPlace, QueuePost
from asyncflow.scheduler.queues.types_by_queue import TypesByQueue
from asyncflow.scheduler.relay.relay import Relay
from asyncflow.scheduler.standing import Standing
from asyncflow.scheduler.telling.teller import Informants, Teller
from asyncflow.scheduler.upkeep.cleaner import Cleaner
from asyncflow.scheduler.upkeep.timetable import Timetable
from asyncflow.scheduler.worker.claiming.shard_claims import ShardClaims
from asyncflow.scheduler.worker.handler_call import Tools
from asyncflow.scheduler.worker.rescuing.monitor import Monitor, Wards
from asyncflow.scheduler.worker.worker import Worker
from asyncflow.scheduler.workload import Workload


class Staff:
    """Hold those who work on what an instance stands before, each with a loop of its own; belongs to one process."""

    def __init__(
        self, instance: Instance, standing: Standing, routes: Mapping[str, Route], jobs: Iterable[Job]
    ) -> None:
        outbox, hooks = instance.outbox, instance.hooks
        self._instance, self._standing = instance, standing
        self.relays = [self._relay(route) for route in routes.values()]
        self.relay_runners = [self._runner(relay) for relay in self.relays]
        self._types_here = TypesByQueue(standing.types.handlers, None)
        self._source = ShardClaims(instance, standing.scope, self._types_here, standing.alarms.handlers.wake)
        self.worker = self._worker()
        self.posts = [self._post(queue) for queue in instance.queues]
        self.monitor = Monitor(outbox, instance.engine, self._wards(), hooks, self._on_rescued)
        self.timetable = Timetable(instance)
        self.cleaner = Cleaner(instance, standing.ownership, standing.look_anew)
        self.chart_writer = ChartWriter(outbox, instance.database(), instance.counts, hooks)
        self.roster = Roster(jobs, instance.engine, outbox, standing.cluster, hooks)
        self._own_loops = self._few_loops() if instance.database_name else self._loops()
        # It has the last word: what the others do until their end is counted.
        self.charts_loop = Loop("charts", self.chart_writer.step, hooks, self.chart_writer.close)

    def loops(self) -> list[Loop]:
        """Return the loops that do the work; the jobs' are there from the start on."""
        runners = (*self.relay_runners, *self.roster.runners)
        of_posts = (loop for post in self.posts for loop in post.loops)
        return [*(runner.loop for runner in runners), *of_posts, *self._own_loops]

    def expect_work(self, task_types: frozenset[str]) -> None:
        """Look at once for tasks of these types, of which some were committed."""
        outbox = self._instance.outbox
        self._standing.lookout.disturb()
        types = outbox.task_types
        destinations = {types[name].destination for name in task_types if name in types}
        if not task_types.isdisjoint(outbox.handler_types):
            self._expect_tasks()
        for relay, runner in zip(self.relays, self.relay_runners, strict=True):
            if relay.destination in destinations:
                relay.expect_work(task_types)
                runner.summons.wake()

    def drain(self, beat: Callable[[], None]) -> None:
        """Work in this thread until nothing is due, and run each job once; ``beat`` is called between the steps."""
        try:
            self._drain(beat)
        finally:
            self._give_connections_back()

    def _drain(self, beat: Callable[[], None]) -> None:
        ownership = self._standing.ownership
        ownership.await_share()
        ownership.with_leases(lambda: self._put_back(beat))
        for relay in self.relays:
            ownership.with_leases(partial(_exhaust, relay.step, beat))
        _exhaust(self.timetable.step, beat)
        ownership.with_leases(partial(_exhaust, self.monitor.step, beat))
        ownership.with_leases(partial(self.worker.drain, beat))
        for runner in self.roster.runners:
            runner.share.await_share()
            runner.drain(beat)
        self.chart_writer.close()

    def _give_connections_back(self) -> None:
        """Let the pool have them, as they were: who drains may never stop, and has other uses for them."""
        for relay in self.relays:
            relay.give_connections_back()
        self._source.give_connections_back()
        for one in (self.timetable, self.monitor, self.cleaner):
            one.close()

    def is_working_here(self) -> bool:
        """Tell whether the caller is a handler or a job at work, or something that it awaits."""
        return self.worker.is_working_here() or any(runner.is_working_here() for runner in self.roster.runners)

    def teller(self) -> Teller:
        """Return who tells of what these do."""
        instance, workload, relays = self._instance, Workload(self.worker), self.relays
        informants = Informants(
            outbox=instance.outbox,
            settings=instance.settings,
            lately=instance.lately,
            unknown_types=self._standing.unknown_types,
            spent=lambda: [name for relay in relays for name in relay.spent()],
            paced=workload.paced,
            crews=workload.full_crews,
            in_hand=lambda: workload.in_hand() + sum(relay.in_hand for relay in relays),
            cleaning=self.cleaner.pace.told,
        )
        return Teller(informants, instance.hooks)

    def _put_back(self, beat: Callable[[], None]) -> None:
        while self.cleaner.strays.put_back():
            beat()
        self.cleaner.close()

    # -- making ------------------------------------------------------------------------------------------

    def _relay(self, route: Route) -> Relay:
        summons = self._standing.alarms.summons[route.destination]
        return Relay(self._instance, route, self._standing.scope, summons.wake)

    def _runner(self, relay: Relay) -> JobRunner:
        summons = self._standing.alarms.summons[relay.destination]
        assignment = Assignment(relay, self._standing.ownership, summons, self._instance.hooks)
        return JobRunner(assignment, at_end=relay.close)

    def _worker(self) -> Worker:
        instance, standing = self._instance, self._standing
        outbox = instance.outbox
        tools = Tools(
            self._source,
            instance.engine,
            outbox.max_message_bytes,
            instance.at_home,
            outbox.encryption,
            instance.database_name,
        )
        return Worker(self._types_here, tools, instance.settings, instance.hooks, standing.alarms.handlers.wake)

    def _post(self, queue: str) -> QueuePost:
        standing = self._standing
        latch = standing.alarms.dispatchers[queue]
        return QueuePost(queue, PostPlace(self._instance, standing.scope, latch, standing.lookout.disturb))

    def _wards(self) -> Wards:
        settings, standing = self._instance.settings, self._standing
        return Wards(
            shards=standing.ownership.epochs,
            types=standing.types.handlers,
            interval_seconds=settings.monitor_interval_seconds,
            lease_seconds=settings.lease_seconds,
            departed=standing.alarms.departed,
            lookout=standing.lookout,
        )

    def _loops(self) -> tuple[Loop, ...]:
        hooks, alarms, types = self._instance.hooks, self._standing.alarms, self._standing.types
        return (
            self._handlers_loop(),
            Loop("monitor", self.monitor.step, hooks, self.monitor.close, alarms.monitor),
            Loop("periodic", self.timetable.step, hooks, self.timetable.close),
            Loop("cleaner", self.cleaner.step, hooks, self.cleaner.end, alarms.cleaner),
            Loop("configuration", types.step, hooks, types.close),
        )

    def _few_loops(self) -> tuple[Loop, ...]:
        """Return the loops for one of several databases: what keeps its table in order shares a thread."""
        types, alarms = self._standing.types, self._standing.alarms
        duties = (
            Duty("configuration", types.step, types.close),
            Duty("periodic", self.timetable.step, self.timetable.close),
            Duty("monitor", self.monitor.step, self.monitor.close, is_woken=True),
            Duty("cleaner", self.cleaner.step, self.cleaner.end, is_woken=True),
            Duty("charts", self.chart_writer.step, lambda: None),
        )
        rota = Rota(duties, self._instance.hooks, alarms.monitor.was_woken)
        return self._handlers_loop(), Loop("keepers", rota.step, self._instance.hooks, rota.close, alarms.monitor)

    def _handlers_loop(self) -> Loop:
        latch = self._standing.alarms.handlers
        return Loop("handlers", self.worker.step, self._instance.hooks, self.worker.close, latch)

    # -- what happens meanwhile --------------------------------------------------------------------------

    def _on_rescued(self) -> None:
        self._standing.lookout.disturb()
        self._expect_tasks()

    def _expect_tasks(self) -> None:
        self.worker.expect_work()
        self._standing.alarms.handlers.wake()
        for post in self.posts:
            post.expect_work()


def _exhaust(step: Callable[[], float], beat: Callable[[], None]) -> None:
    while step() == 0:
        beat()
