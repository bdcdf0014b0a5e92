"""MariaDB to Kafka, acknowledged and settled, beside a loop written by hand; messages a second."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaPublisher
from asyncflow.scheduler import Publisher
from benchmarks.by_hand import Send, confluent_sender, drain_by_hand, kafka_python_sender
from benchmarks.figure import Figure
from benchmarks.ground import Ground, mariadb_ground

_ROWS = 20_000
_PAYLOAD_BYTES = 300
_LEAST_ROUNDS = 3

_CLIENTS: dict[str, tuple[Callable[[str], Publisher], Callable[[Ground], Send]]] = {
    "confluent-kafka": (ConfluentKafkaPublisher, confluent_sender),
    "kafka-python": (KafkaPublisher, kafka_python_sender),
}


def relay(seconds: float) -> list[Figure]:
    """Measure both clients for about ``seconds`` together; the one with the floor comes last."""
    figures = []
    with mariadb_ground() as ground:
        for client in ("kafka-python", "confluent-kafka"):
            figures.append(_measure(ground, client, seconds / len(_CLIENTS)))
    return figures


def _measure(ground: Ground, client: str, seconds: float) -> Figure:
    make_publisher, make_sender = _CLIENTS[client]
    scheduler = Scheduler(ground.engine, ground.outbox, {"kafka": make_publisher(ground.kafka)})
    send = make_sender(ground)
    sides: dict[str, Callable[[], object]] = {
        "asyncflow": scheduler.drain,
        "by hand": lambda: drain_by_hand(ground, send),
    }
    speeds: dict[str, list[float]] = {side: [] for side in sides}
    for drain in sides.values():  # connections, topic metadata, compiled statements
        _timed(ground, drain, 2000)
    deadline = perf_counter() + seconds
    while len(speeds["by hand"]) < _LEAST_ROUNDS or perf_counter() < deadline:
        for side, drain in sides.items():
            speeds[side].append(_ROWS / _timed(ground, drain, _ROWS))
    scheduler.stop()
    ours, by_hand = median(speeds["asyncflow"]), median(speeds["by hand"])
    return Figure(
        name=f"relay, {client}",
        value=ours,
        unit="messages/s",
        beside=f"PyMySQL + {client} by hand",
        beside_value=by_hand,
        ratio=ours / by_hand,
        rounds=len(speeds["by hand"]),
        goal=">= 0.50" if client == "confluent-kafka" else "",
        details={"rows": _ROWS, "payload_bytes": _PAYLOAD_BYTES, "speeds": speeds},
    )


def _timed(ground: Ground, drain: Callable[[], object], rows: int) -> float:
    ground.fill(rows, _PAYLOAD_BYTES)
    began = perf_counter()
    drain()
    seconds = perf_counter() - began
    settled = ground.settled()
    if settled != rows:
        raise RuntimeError(f"{settled} of {rows} rows were settled")
    return seconds
