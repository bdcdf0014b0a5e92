"""The peak memory of an instance that relays amid five million pending tasks; MiB."""

from __future__ import annotations

import time
from contextlib import ExitStack

from benchmarks.figure import Figure, Goal, shorter
from benchmarks.ground import Ground, mariadb_ground
from benchmarks.large import multiply
from benchmarks.plan import Plan
from benchmarks.processes import Process
from benchmarks.tasks import job_on

_MESSAGES = 20_000  # relayed by each process that is measured
_SMALL, _LARGE = 1000, 5_000_000
_GOAL = Goal(text="<= 1.10 times", least_ratio=1 / 1.10)
_LOOK_SECONDS = 0.1
_KIB = 1024


def memory(plan: Plan) -> list[Figure]:
    """Relay the same number of messages amid many and from a thousand at a time, each in a process of its own."""
    messages = plan.scaled(_MESSAGES)
    large = plan.rows_or(_LARGE)
    with ExitStack() as stack:
        grounds: list[Ground] = [stack.enter_context(mariadb_ground()) for _ in range(2)]
        few, many = grounds
        pending = multiply(many, large)
        peaks = plan.alternate(
            {
                "few": lambda: _peak(few, messages, top_up=_SMALL),
                "many": lambda: _peak(many, messages),
            }
        )
    return [
        shorter(
            f"{pending:,} pending",
            peaks["many"],
            f"{_SMALL:,} pending",
            peaks["few"],
            unit="MiB",
            goal=_GOAL,
            where="a round of 2,000 rows in hand instead of 1,000",
            details={"messages": messages},
        )
    ]


def _peak(ground: Ground, messages: int, top_up: int = 0) -> float:
    """Return the peak of a process that relays ``messages``; with ``top_up`` that many are pending at a time."""
    ground.run(f"DELETE FROM {ground.table} WHERE status = 2")
    process = Process("relay", job_on(ground))
    process.wait_until_ready()
    sent = 0
    while sent < messages:
        if top_up and ground.is_done():
            ground.add(top_up)
        time.sleep(_LOOK_SECONDS)
        sent = ground.count("status = 2")
    peak = process.peak_memory()
    process.end()
    return peak / _KIB
