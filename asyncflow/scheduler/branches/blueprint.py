"""What a scheduler is made of, and the making of what belongs to one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import Engine

from asyncflow.errors import OptionError
from asyncflow.event_log import LoggedHooks
from asyncflow.events import Hook, Hooks
from asyncflow.outbox import Outbox
from asyncflow.scheduler.branches.branch import Branch
from asyncflow.scheduler.branches.branches import Branches
from asyncflow.scheduler.branches.engines import ONLY
from asyncflow.scheduler.branches.hearing import Communal, Named
from asyncflow.scheduler.branches.shared_routes import SharedRoutes
from asyncflow.scheduler.charts.minute_counts import MinuteCounts
from asyncflow.scheduler.counters import Tally
from asyncflow.scheduler.given import GivenRegistry, Jobs, Publishers, Queues
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.loops.callers_loop import AtHome
from asyncflow.scheduler.loops.pulse import Pulse
from asyncflow.scheduler.machinery import Machinery
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.telling.recollection import Recollection

Homes = AtHome | Mapping[str, AtHome] | None  # of one database, or by the names of several


class Given(NamedTuple):
    """Hold what is given beside the engines: where coroutines run, and the queues by their names."""

    at_home: Homes = None
    queues: Queues = MappingProxyType({})


class Blueprint:
    """Hold the instances, and who hears of them; lives as long as the scheduler, and changes nothing after its making.

    ``hooks`` hear of all databases. Each of several has its own memory and counts, which come first.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        outbox: Outbox,
        settings: SchedulerSettings,
        hooks: Iterable[Hook],
        given: Given,
    ) -> None:
        self._settings = settings
        self._is_of_one = ONLY in engines
        at_home = given.at_home
        homes = at_home if isinstance(at_home, Mapping) else dict.fromkeys(engines, at_home)
        queues = dict(given.queues)
        self._tallies = tallies = {name: Tally() for name in engines}
        hears = {name: (tally, Recollection(), MinuteCounts()) for name, tally in tallies.items()}
        heard = Hooks(hooks)
        self.hooks = LoggedHooks([*hears[ONLY], *heard] if self._is_of_one else heard)
        self.instances: list[Instance] = []
        for name, engine in engines.items():
            own = self.hooks if self._is_of_one else Hooks([*hears[name], Named(name, self.hooks)])
            _, lately, counts = hears[name]
            its = Instance(outbox, engine, settings, own, homes[name], name, queues, lately, counts)
            self.instances.append(its)

    def require(self, jobs: Jobs, registry: GivenRegistry) -> None:
        """Raise OptionError for what goes with a single database alone: jobs, queues and a registry."""
        if self._is_of_one:
            return
        if tuple(jobs):
            raise OptionError(
                "jobs are given to a scheduler of several databases, which would run each of them once for every "
                "database; give them to a Scheduler(engine, ...) of their own"
            )
        if self.instances[0].queues:
            raise OptionError(
                "queues are given to a scheduler of several databases, of which none would know whose outcomes come "
                "back; run a scheduler for each database, with a namespace for each"
            )
        if registry is not None:
            raise OptionError(
                "a registry is given to a scheduler of several databases, each of which keeps its own instances and "
                "leases; leave it out, or run a scheduler for each database"
            )

    def forget(self) -> None:
        """Forget what was counted and met, in the child of a fork."""
        for instance in self.instances:
            self._tallies[instance.database_name].clear()
            instance.lately.clear()
            instance.counts.clear()

    def make(self, publishers: Publishers, jobs: Jobs, registry: GivenRegistry) -> Branches:
        """Make what belongs to this process: names of instances, connections, threads and locks."""
        if self._is_of_one:
            (instance,) = self.instances
            machinery = Machinery(instance, self._routes_of_one(instance, publishers), jobs, registry)
            return Branches([self._branch(instance, machinery)], None)
        pulse = Pulse(self.hooks)
        return Branches(list(self._sharing(publishers, pulse)), pulse)

    def _routes_of_one(self, instance: Instance, publishers: Publishers) -> dict[str, Route]:
        return {
            name: Route(name, publisher, Breakers(name, self._settings, instance.hooks))
            for name, publisher in publishers.items()
        }

    def _sharing(self, publishers: Publishers, pulse: Pulse) -> Iterator[Branch]:
        hooks = Hooks([Communal(self.hooks, [instance.lately for instance in self.instances])])
        routes = SharedRoutes(publishers, self._settings, hooks, len(self.instances))
        for instance in self.instances:
            yield self._branch(instance, Machinery(instance, routes.of_one(), pulse=pulse))

    def _branch(self, instance: Instance, machinery: Machinery) -> Branch:
        return Branch(instance, self._tallies[instance.database_name], machinery)
