"""The slowest page, verb and scrape over ten million tasks; and what fifty open browsers ask of the database.

Each look is a fresh one: what a page keeps for others who ask is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from benchmarks.browsers import statements_a_second
from benchmarks.figure import Figure, Goal, shorter
from benchmarks.ground import GROUNDS, Ground
from benchmarks.looks import Look, looks_at
from benchmarks.plan import Plan
from benchmarks.skewed import fill

_ROWS, _FEW = 10_000_000, 10_000
_BROWSERS = 50
_LASTING_LEASE = 600.0  # seconds, which nobody need renew
_WHERE = "counts that go on to their limits, and the parsing of what was read"
_KINDS: Mapping[str, Goal] = {
    "page": Goal(text="<= 100 ms", most_value=100),
    "verb": Goal(text="<= 1,000 ms", most_value=1000),
    "scrape": Goal(text="<= 100 ms", most_value=100),
}


def pages(plan: Plan) -> list[Figure]:
    """Measure both databases, one after the other: their large tables need the memory of the machine."""
    part = plan.part(1 / 2)
    return [figure for database in plan.cases(tuple(GROUNDS)) for figure in _of_database(database, part)]


def _of_database(database: str, plan: Plan) -> list[Figure]:
    rows = plan.rows_or(_ROWS)
    with _filled(database, min(rows, _FEW)) as ground:
        few = _milliseconds(ground, plan.part(1 / 4))
    with _filled(database, rows) as ground:
        many = _milliseconds(ground, plan.part(1 / 2))
        loads = {count: statements_a_second(ground, count, plan.part(1 / 8).seconds) for count in (1, _BROWSERS)}
    name = f"{database}, {rows:,} rows"
    figures = [_slowest(f"{name}, {kind}", kind, few, many) for kind in _KINDS]
    load = shorter(
        f"{name}, {_BROWSERS} browsers",
        [loads[_BROWSERS]],
        "1 browser",
        [loads[1]],
        unit="statements/s",
        goal=Goal(text="<= 1.2 times", least_ratio=1 / 1.2),
        where="a browser comes when what was seen is just too old",
    )
    return [*figures, load]


@contextmanager
def _filled(database: str, rows: int) -> Any:
    """Give a filled ground, on which an instance is recorded that owns all shards and does nothing."""
    with GROUNDS[database]() as ground:
        fill(ground, rows)
        publishers = {"kafka": ConfluentKafkaPublisher(ground.kafka)}
        standing = Scheduler(ground.engine, ground.outbox, publishers, lease_seconds=_LASTING_LEASE)
        standing.ownership.acquire()
        yield ground
        standing.ownership.release()


def _milliseconds(ground: Ground, plan: Plan) -> dict[Look, list[float]]:
    """Take each look again and again, in turns; return how long each took."""
    found = looks_at(ground)
    for look in found:  # connections, compiled statements and templates
        look.take()
    times = plan.alternate({str(number): look.take for number, look in enumerate(found)})
    return {look: times[str(number)] for number, look in enumerate(found)}


def _slowest(name: str, kind: str, few: Mapping[Look, list[float]], many: Mapping[Look, list[float]]) -> Figure:
    by_name = {look.name: times for look, times in few.items() if look.kind == kind}
    of_kind = {look: times for look, times in many.items() if look.kind == kind}
    slowest = max(of_kind, key=lambda look: median(of_kind[look]))
    return shorter(
        f"{name} {slowest.name}",
        of_kind[slowest],
        f"the same of {_FEW:,}",
        by_name[slowest.name],
        unit="ms",
        goal=_KINDS[kind],
        where=_WHERE,
        details={"medians": {look.name: [median(by_name[look.name]), median(of_kind[look])] for look in of_kind}},
    )
