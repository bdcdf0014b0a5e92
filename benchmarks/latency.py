"""From the commit to the broker's acknowledgement, at 50 and at 1,000 messages a second; milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from asyncflow.scheduler import Outcome, Publisher, Record, Sent
from benchmarks.figure import Figure, Goal
from benchmarks.ground import TASK_TYPE, Ground, mariadb_ground, payload
from benchmarks.plan import Plan

_WRITERS = 4
_WARM_UP_SECONDS = 1.0  # not measured: connections, topic metadata, compiled statements
_ALLOWED = {50: 5.0, 99: 25.0}  # milliseconds beyond the bare client's, by percentile
_PATIENCE_SECONDS = 30.0
_CASES = ((50, False), (1000, True), (50, True))  # messages a second, wake-up on commit
Waits = list[float]


class _Timed:
    """Note when each message was acknowledged."""

    def __init__(self, publisher: Publisher) -> None:
        self.acknowledged: dict[str, float] = {}
        self._publisher = publisher

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Publish, and look at the clock."""
        outcomes = self._publisher.publish(batch)
        now = time.perf_counter()
        for record, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Sent):
                self.acknowledged[record.headers[0][1].decode()] = now
        return outcomes

    def close(self) -> None:
        """Close the other publisher."""
        self._publisher.close()


def latency(plan: Plan) -> list[Figure]:
    """Measure both rates with the wake-up on, the lower one with it off, too; the bare client beside each."""
    with mariadb_ground() as ground:
        return [figure for case in plan.cases(_CASES) for figure in _measure(ground, *case, plan.part(1 / len(_CASES)))]


def _measure(ground: Ground, per_second: int, wake_on_commit: bool, plan: Plan) -> list[Figure]:
    seconds = max(0.5, plan.seconds / 6)
    bare: list[Waits] = []
    ours: list[Waits] = []
    for _ in range(1 if plan.is_smoke else 3):
        ground.fill(0)
        bare.append(_bare(ground, per_second, seconds))
        ours.append(_through_outbox(ground, per_second, seconds, wake_on_commit))
    name = f"{per_second:,}/s, wake-up {'on' if wake_on_commit else 'off'}"
    return [_figure(f"{name}, p{percentile}", percentile, ours, bare) for percentile in _ALLOWED]


def _figure(name: str, percentile: int, ours: list[Waits], bare: list[Waits]) -> Figure:
    value, beside_value = (_percentile(percentile, [wait for waits in all_ for wait in waits]) for all_ in (ours, bare))
    return Figure(
        name=name,
        value=value,
        unit="ms",
        beside="bare produce",
        beside_value=beside_value,
        ratio=beside_value / max(value, 1e-3),
        rounds=len(ours),
        goal=Goal(text=f"<= bare + {_ALLOWED[percentile]:g} ms", most_value=beside_value + _ALLOWED[percentile]),
        where="a look after the commit, and the page's way through the driver",
        details={
            "messages": sum(map(len, ours)),
            "ours": [_percentile(percentile, waits) for waits in ours],
            "beside": [_percentile(percentile, waits) for waits in bare],
        },
    )


def _percentile(percentile: int, waits: Waits) -> float:
    return quantiles(waits, n=100, method="inclusive")[percentile - 1]


def _through_outbox(ground: Ground, per_second: int, seconds: float, wake_on_commit: bool) -> Waits:
    publisher = _Timed(ConfluentKafkaPublisher(ground.kafka))
    scheduler = Scheduler(ground.engine, ground.outbox, {"kafka": publisher}, wake_on_commit=wake_on_commit)
    content = payload(300)

    def write(_: float) -> tuple[str, float]:
        with ground.engine.begin() as connection:
            task_id = ground.outbox.publish(connection, TASK_TYPE, content, key="account-1")
        return str(task_id), time.perf_counter()

    with scheduler:
        committed = _at_a_rate(per_second, seconds, write)
        _await_all(publisher, len(committed))
    # An acknowledgement can come before the committing thread has read its clock: that is 0.
    waits = [max(0.0, publisher.acknowledged[name] - moment) * 1000 for name, moment in committed]
    return waits[_warm_up(per_second, len(waits)) :]


def _bare(ground: Ground, per_second: int, seconds: float) -> Waits:
    """Produce what is due, at the rate, and wait for its acknowledgement."""
    publisher = ConfluentKafkaPublisher(ground.kafka)
    content = b"x" * 300
    waits: Waits = []
    due = _beats(per_second, seconds)
    while due:
        _sleep_until(due[0])
        began = time.perf_counter()
        batch = [moment for moment in due if moment <= began]
        publisher.publish([Record(ground.topic, b"account-1", content, ())] * len(batch))
        waits += [(time.perf_counter() - began) * 1000] * len(batch)
        due = due[len(batch) :]
    publisher.close()
    return waits[_warm_up(per_second, len(waits)) :]


def _at_a_rate(per_second: int, seconds: float, write: Callable[[float], tuple[str, float]]) -> list[tuple[str, float]]:
    """Call ``write`` at the rate, on several threads; return what it returned, in order of time."""
    due = _beats(per_second, seconds)

    def write_part(part: int) -> list[tuple[str, float]]:
        found = []
        for moment in due[part::_WRITERS]:
            _sleep_until(moment)
            found.append(write(moment))
        return found

    with ThreadPoolExecutor(_WRITERS) as pool:
        found = [one for part in pool.map(write_part, range(_WRITERS)) for one in part]
    return sorted(found, key=lambda one: one[1])


def _beats(per_second: int, seconds: float) -> list[float]:
    start = time.perf_counter()
    return [start + number / per_second for number in range(int((seconds + _WARM_UP_SECONDS) * per_second))]


def _warm_up(per_second: int, count: int) -> int:
    return min(int(per_second * _WARM_UP_SECONDS), count - 2)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.perf_counter()))


def _await_all(publisher: _Timed, messages: int) -> None:
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    while len(publisher.acknowledged) < messages:
        if time.perf_counter() > deadline:
            found = len(publisher.acknowledged)
            raise RuntimeError(f"{found} of {messages} messages were acknowledged in {_PATIENCE_SECONDS:.0f} s")
        time.sleep(0.01)
