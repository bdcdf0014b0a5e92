"""What it costs to be watched: by metrics, traces of which 1 % are sampled, and an open dashboard.

The rows were enqueued under the same tracing, so each carries a context; that enqueue is not measured. The dashboard is
a process of its own with one page open, which asks every two seconds as its script does, on the cores of the work.
Spans are exported to nowhere, and nobody scrapes: a scrape every 15 seconds would fall into one round in several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from benchmarks.figure import Figure, at_least, faster
from benchmarks.ground import GROUNDS, Ground
from benchmarks.instance import HANDLER, declare_handler
from benchmarks.plan import Plan
from benchmarks.processes import await_shares, running, settling_speed
from benchmarks.relay import drain_speed
from benchmarks.tasks import job_on
from benchmarks.watching import watched

_SAMPLED = 0.01
_ROWS = {"relay": 100_000, "tasks": 120_000}
_WARM_UP = 2000
_GOAL = at_least(0.97)
_WHERE = "Python for each message: a context is read with its row, travels and stands at hand; the dashboard's looks"
Speed = Callable[[], float]


def watched_beside_unwatched(plan: Plan) -> Iterator[Figure]:
    """Measure the relay on MariaDB and tasks on both databases, each watched and unwatched in turns."""
    cases = [(_relay, "mariadb"), (_tasks, "postgresql"), (_tasks, "mariadb")]
    part = plan.part(1 / len(cases))
    for measure, database in plan.cases(cases):
        yield measure(database, part)


def _relay(database: str, plan: Plan) -> Figure:
    rows = plan.scaled(_ROWS["relay"])

    def side(ground: Ground, stack: ExitStack) -> Callable[[int], float]:
        publishers = {"kafka": ConfluentKafkaPublisher(ground.kafka)}
        scheduler = Scheduler(ground.engine, ground.outbox, publishers, hooks=ground.hooks())
        stack.callback(scheduler.stop)
        return lambda count: drain_speed(ground, scheduler.drain, count)

    return _beside(f"relay, {database}", database, side, plan, rows, "messages/s")


def _tasks(database: str, plan: Plan) -> Figure:
    rows = plan.scaled(_ROWS["tasks"])

    def side(ground: Ground, stack: ExitStack) -> Callable[[int], float]:
        declare_handler(ground, 1)
        if database == "postgresql":
            ground.run(f"ALTER TABLE {ground.table} SET (autovacuum_enabled = off)")  # which would come as it likes

        def speed(count: int) -> float:
            # Each round has a process of its own: two at once would share the machine, and one rests beside the other.
            with running("tasks", [job_on(ground)]):
                await_shares(ground, 1)
                settling_speed(ground, plan.scaled(_WARM_UP), HANDLER)
                return settling_speed(ground, count, HANDLER)

        return speed

    return _beside(f"tasks, {database}", database, side, plan, rows, "tasks/s")


def _beside(name: str, database: str, side: Any, plan: Plan, rows: int, unit: str) -> Figure:
    sides: dict[str, Speed] = {}
    with ExitStack() as stack:
        for is_watched in (True, False):
            with _watching(is_watched):
                ground = stack.enter_context(GROUNDS[database]())
                speed = side(ground, stack)
            measure = partial(_round, ground, speed, rows, is_watched=is_watched)
            _round(ground, speed, plan.scaled(_WARM_UP), is_watched=is_watched)  # connections, topics, statements
            sides["watched" if is_watched else "unwatched"] = measure
        speeds = plan.alternate(sides)
    fields: dict[str, Any] = {"unit": unit, "goal": _GOAL, "where": _WHERE, "details": {"rows": rows}}
    return faster(f"{name}, watched", speeds["watched"], "without", speeds["unwatched"], **fields)


def _round(ground: Ground, speed: Callable[[int], float], rows: int, *, is_watched: bool) -> float:
    dashboard = running("dashboard", [job_on(ground)]) if is_watched else nullcontext()
    with _watching(is_watched), dashboard:
        return speed(rows)


def _watching(is_watched: bool) -> Any:
    return watched(metrics=is_watched, tracing=_SAMPLED if is_watched else None)
