"""The relay with a thousand, a hundred thousand and five million tasks pending."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.figure import Figure, at_least, faster
from benchmarks.ground import Ground, mariadb_ground
from benchmarks.large import multiply
from benchmarks.plan import Plan
from benchmarks.relay import drain_speed
from benchmarks.shards import relay_on
from benchmarks.streaming import needed, streaming_speed

_MESSAGES = 20_000
_SMALL, _MEDIUM, _LARGE = 1000, 100_000, 5_000_000
_WHERE = "pages of a table that does not fit into the database's memory"


def backlog(plan: Plan) -> list[Figure]:
    """Drain the small one again and again; from the larger ones relay a part each round, and fill that up again."""
    messages = plan.scaled(_MESSAGES)
    large = plan.rows_or(_LARGE)
    medium = min(_MEDIUM, large)
    with ExitStack() as stack:
        grounds: list[Ground] = [stack.enter_context(mariadb_ground()) for _ in range(3)]
        few, more, many = grounds
        drain = relay_on(few, stack).drain
        for _ in range(3):
            drain_speed(few, drain, _SMALL)
        multiply(more, medium)
        multiply(many, large)
        speeds = plan.alternate(
            {
                "few": lambda: max(drain_speed(few, drain, _SMALL) for _ in range(3)),
                "more": lambda: _speed_amid(more, messages, medium, plan),
                "many": lambda: _speed_amid(many, messages, large, plan),
            }
        )
    return [
        faster(
            f"{pending:,} pending",
            speeds[side],
            f"{_SMALL:,} pending",
            speeds["few"],
            goal=at_least(0.9),
            where=_WHERE,
            details={"messages": messages},
        )
        for side, pending in (("more", medium), ("many", large))
    ]


def _speed_amid(ground: Ground, messages: int, pending: int, plan: Plan) -> float:
    """Measure in the middle of what is pending, and keep that about as much as it is."""
    if plan.is_smoke:
        return streaming_speed(ground, messages, warm_up=100)
    speed = streaming_speed(ground, messages)
    if pending < 10 * needed(messages):
        ground.add(needed(messages))
    return speed
