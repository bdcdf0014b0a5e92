"""PostgreSQL to Kafka: beside a loop by hand, and beside faststream-outbox from PyPI."""

from __future__ import annotations

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from benchmarks.figure import Figure, at_least, faster, not_measured
from benchmarks.ground import Ground, postgresql_ground
from benchmarks.plan import Plan
from benchmarks.relay import beside_hand, drain_speed
from benchmarks.rivals.peer import AS_IN_ITS_README, FOR_THROUGHPUT, peer_speed

_ROWS = 20_000
_PEER_ROWS = 4_000
_PEER = "faststream-outbox"
_CASES = (("confluent-kafka", "delete", 300), ("confluent-kafka", "keep", 4096), ("confluent-kafka", "keep", 300))


def relay_pg(plan: Plan) -> list[Figure]:
    """Measure the loop by hand for half of the time, the peer for the other half."""
    part = plan.part(1 / 2 / len(_CASES))
    with postgresql_ground() as ground:
        figures = [figure for case in plan.cases(_CASES) for figure in beside_hand(ground, *case, part)]
        return [*figures, *_beside_peer(ground, plan.part(1 / 2))]


def _beside_peer(ground: Ground, plan: Plan) -> list[Figure]:
    try:
        import faststream.kafka  # noqa: F401
        import faststream_outbox  # noqa: F401
    except ImportError as error:
        why = f"not installed ({error}); it needs Python 3.11: pip install --group bench"
        return [not_measured("postgresql, delete, 300 B", _PEER, why, at_least(8))]
    publisher = ConfluentKafkaPublisher(ground.kafka)
    scheduler = Scheduler(ground.engine, ground.outbox, {"kafka": publisher}, on_success="delete")
    drain_speed(ground, scheduler.drain, plan.scaled(2000))
    rows, peer_rows = plan.scaled(_ROWS), plan.scaled(_PEER_ROWS)
    speeds = plan.alternate(
        {
            "ours": lambda: drain_speed(ground, scheduler.drain, rows),
            "set for throughput": lambda: peer_speed(ground, peer_rows, 300, FOR_THROUGHPUT),
            "as in its README": lambda: peer_speed(ground, max(100, peer_rows // 8), 300, AS_IN_ITS_README),
        }
    )
    scheduler.stop()
    return [
        faster(
            "postgresql, delete, 300 B",
            speeds["ours"],
            f"{_PEER}, {setting}",
            speeds[setting],
            goal=at_least(8),
            details={"rows": peer_rows},
        )
        for setting in ("as in its README", "set for throughput")
    ]
