"""The relay with ten million settled rows in the table."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from asyncflow import Status
from benchmarks.figure import Figure, at_least, faster
from benchmarks.ground import Ground, mariadb_ground
from benchmarks.large import multiply
from benchmarks.plan import Plan
from benchmarks.relay import timed
from benchmarks.shards import relay_on

_ROWS = 20_000
_SETTLED = 10_000_000


def history(plan: Plan) -> list[Figure]:
    """Drain the same rows from a table full of settled ones, and from one without any."""
    rows = plan.scaled(_ROWS)
    with ExitStack() as stack:
        grounds: list[Ground] = [stack.enter_context(mariadb_ground()) for _ in range(2)]
        empty, full = grounds
        settled = multiply(full, plan.rows_or(_SETTLED), status=int(Status.SUCCESS))
        sides: dict[str, Any] = {}
        for name, ground in (("empty", empty), ("full", full)):
            drain = relay_on(ground, stack).drain
            _speed(ground, drain, plan.scaled(2000))
            sides[name] = lambda ground=ground, drain=drain: _speed(ground, drain, rows)
        speeds = plan.alternate(sides)
    return [
        faster(
            f"{settled:,} settled rows",
            speeds["full"],
            "an empty table",
            speeds["empty"],
            goal=at_least(0.9),
            where="each settled row goes to the end of a large index, whose pages are no longer in memory",
            details={"rows": rows},
        )
    ]


def _speed(ground: Ground, drain: Any, rows: int) -> float:
    ground.add(rows)
    return timed(ground, drain, rows)
