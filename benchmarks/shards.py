"""The relay at 1, 4, 16 and 64 shards."""

from __future__ import annotations

from contextlib import ExitStack

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from benchmarks.figure import Figure, at_least, faster
from benchmarks.ground import Ground, mariadb_ground
from benchmarks.plan import Plan
from benchmarks.relay import drain_speed

_ROWS = 20_000
_COUNTS = (1, 4, 16, 64)
_WHERE = "a page for each shard in one statement: the server plans and runs each of them"


def shards(plan: Plan) -> list[Figure]:
    """Measure all counts in turn, each in a database of its own."""
    rows = plan.scaled(_ROWS)
    counts = (1, 4) if plan.is_smoke else _COUNTS
    with ExitStack() as stack:
        sides = {}
        for count in counts:
            ground: Ground = stack.enter_context(mariadb_ground(shard_count=count))
            drain = relay_on(ground, stack).drain
            drain_speed(ground, drain, plan.scaled(2000))
            sides[str(count)] = lambda ground=ground, drain=drain: drain_speed(ground, drain, rows)
        speeds = plan.alternate(sides)
    return [
        faster(
            f"{count} shards",
            speeds[str(count)],
            "1 shard",
            speeds["1"],
            goal=at_least(0.9),
            where=_WHERE,
            details={"rows": rows},
        )
        for count in counts[1:]
    ]


def relay_on(ground: Ground, stack: ExitStack) -> Scheduler:
    """Return a scheduler with confluent-kafka, stopped at the stack's end."""
    scheduler = Scheduler(ground.engine, ground.outbox, {"kafka": ConfluentKafkaPublisher(ground.kafka)})
    stack.callback(scheduler.stop)
    return scheduler
