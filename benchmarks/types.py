"""The relay with 300 task types in 64 shards, beside one type with as many messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from asyncflow import Message
from benchmarks.figure import Figure, at_least, faster
from benchmarks.ground import GROUNDS, TASK_TYPE, Ground, payload
from benchmarks.plan import Plan
from benchmarks.relay import timed
from benchmarks.shards import relay_on

_TYPES, _ROWS = 300, 60_000
_WHERE = "a lane of three rows costs as much to find as one of hundreds"


def types(plan: Plan) -> list[Figure]:
    """Drain the same number of messages of 300 types, and of one, on both servers."""
    names = list(plan.cases(list(GROUNDS)))
    return [_on(name, plan.part(1 / len(names))) for name in names]


def _on(server: str, plan: Plan) -> Figure:
    rows, count = plan.scaled(_ROWS), 3 if plan.is_smoke else _TYPES
    with ExitStack() as stack:
        sides: dict[str, Callable[[], float]] = {}
        for side, types_ in (("many", count), ("one", 1)):
            ground: Ground = stack.enter_context(GROUNDS[server]())
            names = [TASK_TYPE, *(f"{TASK_TYPE}.{number}" for number in range(1, types_))]
            for name in names[1:]:
                ground.outbox.message(name, topic=ground.topic)
            drain = relay_on(ground, stack).drain
            speed = partial(_speed, ground, drain, names)
            speed(plan.scaled(20_000))
            sides[side] = partial(speed, rows)
        speeds = plan.alternate(sides)
    name = f"{server}, {count} types x 64 shards"
    fields = {"goal": at_least(0.8), "where": _WHERE, "details": {"rows": rows}}
    return faster(name, speeds["many"], "one type", speeds["one"], **fields)


def _speed(ground: Ground, drain: Callable[[], object], names: list[str], rows: int) -> float:
    ground.run(f"TRUNCATE TABLE {ground.table}")
    content = payload(300)
    each = -(-rows // len(names))
    with ground.filling.begin() as connection:
        for name in names:
            messages = [Message(content, key=f"account-{number % 1000}") for number in range(each)]
            ground.outbox.publish_many(connection, name, messages)
    ground.refresh_statistics()
    return timed(ground, drain, each * len(names))
