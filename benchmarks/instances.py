"""The relay of 1, 2, 4 and 8 instances together, and what a message costs then."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from typing import Any

from sqlalchemy import text

from benchmarks.figure import Details, Figure, Goal, at_least, faster, shorter
from benchmarks.ground import TASK_TYPE, Ground, mariadb_ground
from benchmarks.plan import Plan
from benchmarks.processes import await_shares, running, settling_speed
from benchmarks.tasks import job_on

_ROWS = 80_000
_COUNTS = (1, 2, 4, 8)
_WHERE = "smaller rounds: a share of the shards is a share of the pages; and the heartbeats of each"


def instances(plan: Plan) -> list[Figure]:
    """Measure all counts in turn, each in a database of its own."""
    rows = plan.scaled(_ROWS)
    counts = (1, 2) if plan.is_smoke else _COUNTS
    statements: dict[int, list[float]] = {count: [] for count in counts}
    with ExitStack() as stack:
        grounds: dict[int, Ground] = {count: stack.enter_context(mariadb_ground()) for count in counts}
        for count, ground in grounds.items():
            stack.enter_context(running("relay", [job_on(ground)] * count))
            await_shares(ground, count)
            settling_speed(ground, plan.scaled(4000), TASK_TYPE)
        speeds = plan.alternate(
            {
                str(count): (lambda count=count: _speed(grounds[count], rows, statements[count]))  # type: ignore[misc]
                for count in counts
            }
        )
    costs: Details = {"statements a message": {str(count): median(found) for count, found in statements.items()}}
    common: dict[str, Any] = {"where": _WHERE, "details": {"rows": rows, **costs}}
    goal = Goal(text="<= 1.10 times", least_ratio=1 / 1.10)
    return [
        *(
            faster(f"{count} instances", speeds[str(count)], "1 instance", speeds["1"], goal=at_least(0.9), **common)
            for count in counts[1:]
        ),
        shorter(
            f"{counts[-1]} instances, statements",
            statements[counts[-1]],
            "1 instance",
            statements[1],
            unit="a message",
            goal=goal,
            **common,
        ),
    ]


def _speed(ground: Ground, rows: int, statements: list[float]) -> float:
    """Return messages a second, and note the statements a message that the server counted meanwhile."""
    before = questions(ground)
    speed = settling_speed(ground, rows, TASK_TYPE)
    statements.append((questions(ground) - before) / rows)
    return speed


def questions(ground: Ground) -> int:
    """Return how many statements a MariaDB server has been sent since its start, by anybody."""
    with ground.filling.connect() as connection:
        return int(connection.execute(text("SHOW GLOBAL STATUS LIKE 'Questions'")).one()[1])
