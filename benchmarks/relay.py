"""A database to Kafka, acknowledged and settled, beside a loop written by hand; messages a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaPublisher
from asyncflow.scheduler import Publisher
from benchmarks.figure import Figure, at_least, faster
from benchmarks.ground import Ground, mariadb_ground, payload
from benchmarks.plan import Plan
from benchmarks.rivals.by_hand import Send, confluent_sender, drain_by_hand, kafka_python_sender

_ROWS = {"confluent-kafka": 100_000, "kafka-python": 40_000}  # to last for seconds: taking part and leaving count, too
_ROWS_OF_4_KIB = 20_000
_WHERE = "decoding pages in the driver, then the UPDATE in the database; Python runs one of them at a time"
_WARM_UP = 2000

_CLIENTS: dict[str, tuple[Callable[[str], Publisher], Callable[[Ground], Send]]] = {
    "confluent-kafka": (ConfluentKafkaPublisher, confluent_sender),
    "kafka-python": (KafkaPublisher, kafka_python_sender),
}
_CASES: tuple[tuple[str, str, int], ...] = (
    ("kafka-python", "keep", 300),
    ("kafka-python", "delete", 300),
    ("confluent-kafka", "delete", 300),
    ("confluent-kafka", "keep", 4096),
    ("confluent-kafka", "keep", 300),
)


def relay(plan: Plan) -> list[Figure]:
    """Measure both clients, settling by UPDATE and by DELETE, payloads of 300 bytes and 4 KiB."""
    part = plan.part(1 / len(_CASES))
    with mariadb_ground() as ground:
        return [figure for case in plan.cases(_CASES) for figure in beside_hand(ground, *case, part)]


def beside_hand(ground: Ground, client: str, on_success: Any, size: int, plan: Plan) -> list[Figure]:
    """Measure one client and one way of settling; kafka-python, the slower part, beside itself alone, too."""
    make_publisher, make_sender = _CLIENTS[client]
    publisher = make_publisher(ground.kafka)
    scheduler = Scheduler(
        ground.engine, ground.outbox, {"kafka": publisher}, hooks=ground.hooks(), on_success=on_success
    )
    send, delete = make_sender(ground), on_success == "delete"
    rows = plan.scaled(_ROWS[client] if size < 1000 else _ROWS_OF_4_KIB)
    drains: dict[str, Callable[[], object]] = {
        "ours": scheduler.drain,
        "by hand": lambda: drain_by_hand(ground, send, delete=delete),
    }
    for drain in drains.values():  # connections, topic metadata, compiled statements
        drain_speed(ground, drain, plan.scaled(_WARM_UP), size)
    sides: dict[str, Callable[[], float]] = {
        name: partial(drain_speed, ground, drain, rows, size) for name, drain in drains.items()
    }
    if client == "kafka-python":
        sides["alone"] = lambda: _speed_alone(send, rows, size)
    speeds = plan.alternate(sides)
    scheduler.stop()
    name = f"{ground.engine.dialect.name}, {client}, {on_success}, {size} B"
    fields: dict[str, Any] = {"goal": at_least(0.9), "where": _WHERE, "details": {"rows": rows}}
    beside = {"by hand": "a loop by hand", "alone": f"{client} alone, without a database"}
    return [faster(name, speeds["ours"], beside[side], speeds[side], **fields) for side in beside if side in sides]


def drain_speed(ground: Ground, drain: Callable[[], object], rows: int, size: int = 300) -> float:
    """Fill, drain and return messages a second; raises RuntimeError if anything is left."""
    ground.fill(rows, size)
    return timed(ground, drain, rows)


def timed(ground: Ground, drain: Callable[[], object], rows: int) -> float:
    """Drain and return messages a second; raises RuntimeError if anything is left."""
    began = perf_counter()
    drain()
    seconds = perf_counter() - began
    if not ground.is_done():
        raise RuntimeError(f"{ground.count('status = 0')} of {rows} rows were not settled")
    return rows / seconds


def _speed_alone(send: Send, rows: int, size: int) -> float:
    content = str(payload(size)["pad"]).encode().ljust(size, b"x")
    round_ = [(number.to_bytes(16, "big"), f"account-{number % 1000}", content) for number in range(2000)]
    began = perf_counter()
    for first in range(0, rows, len(round_)):
        send(round_[: rows - first])
    return rows / (perf_counter() - began)
