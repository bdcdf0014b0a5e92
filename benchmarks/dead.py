"""The relay of one destination while another one, with a million due rows, is dead."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from benchmarks.figure import Figure, at_least, faster
from benchmarks.ground import Ground, mariadb_ground
from benchmarks.large import multiply
from benchmarks.plan import Plan
from benchmarks.streaming import needed, streaming_speed

_MESSAGES = 40_000
_DUE = 1_000_000
_DEAD_TYPE = "invoice.issued"


def dead(plan: Plan) -> list[Figure]:
    """Both sides have the dead destination; one has rows for it."""
    messages = plan.scaled(_MESSAGES)
    with ExitStack() as stack:
        grounds: list[Ground] = [stack.enter_context(mariadb_ground()) for _ in range(2)]
        for ground in grounds:
            ground.outbox.message(_DEAD_TYPE, destination="dead")
        alone, beside_dead = grounds
        due = multiply(beside_dead, plan.rows_or(_DUE), task_type=_DEAD_TYPE)
        port = stack.enter_context(_closed_port())
        speeds = plan.alternate(
            {
                "none": lambda: _speed(alone, messages, port, plan),
                "dead": lambda: _speed(beside_dead, messages, port, plan),
            }
        )
    return [
        faster(
            f"{due:,} due rows on a dead destination",
            speeds["dead"],
            "none",
            speeds["none"],
            goal=at_least(0.95),
            where="the heads of the dead destination's shards, read in each round; the probes of its breaker",
            details={"messages": messages},
        )
    ]


def _speed(ground: Ground, messages: int, port: int, plan: Plan) -> float:
    ground.add(needed(messages))
    publisher = ConfluentKafkaPublisher(f"127.0.0.1:{port}")
    warm_up = {"warm_up": 100} if plan.is_smoke else {}
    speed = streaming_speed(ground, messages, {"dead": publisher}, **warm_up)
    ground.run(f"DELETE FROM {ground.table} WHERE task_type <> '{_DEAD_TYPE}'")
    return speed


class _closed_port:  # noqa: N801 - a context, named like a function
    """Give a port of this machine that is taken and does not listen."""

    def __enter__(self) -> int:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.close()
