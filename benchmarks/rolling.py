"""What roll-over costs: relay, tasks and enqueue while finished tasks are moved, beside while they are deleted by rows.

Both sides rid the table of what is done at once. ``cleaning`` is how fast it leaves, as fast as the cleaner can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from time import perf_counter, sleep
from typing import Any

from asyncflow import Message
from benchmarks.figure import Figure, at_least, faster, shorter
from benchmarks.ground import GROUNDS, TASK_TYPE, Ground, payload
from benchmarks.instance import HANDLER, declare_handler, rolling_at_once
from benchmarks.plan import Plan
from benchmarks.processes import await_shares, running
from benchmarks.tasks import job_on

_ROWS = {"relay": 40_000, "tasks": 30_000, "enqueue": 200, "cleaning": 20_000}  # enqueue: transactions
_TABLE_ROWS = 5000  # several are closed in a round
_WARM_UP = 2000
_LOOK_SECONDS = 0.01
_PATIENCE_SECONDS = 180.0
_GOAL = at_least(0.97)
_WHERE = "each finished row is copied once before it is deleted; by the cleaner, on the same processors"
_BY_ROWS = {"success_retention_seconds": 0.001}
_WORKS = ("relay", "tasks", "enqueue", "cleaning")


def rolling_beside_deleting(plan: Plan) -> Iterator[Figure]:
    """Measure the relay, tasks and the enqueue on both databases, with roll-over on and off in turns."""
    cases = [(work, database) for database in ("postgresql", "mariadb") for work in _WORKS]
    part = plan.part(1 / len(cases))
    for work, database in plan.cases(cases):
        yield _beside(work, database, part)


def _beside(work: str, database: str, plan: Plan) -> Figure:
    rows = plan.scaled(_ROWS[work])
    sides: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        for name, rolls in (("on", _TABLE_ROWS), ("off", 0)):
            ground = stack.enter_context(GROUNDS[database](**rolling_at_once(rolls)))
            if database == "postgresql":
                ground.run(f"ALTER TABLE {ground.table} SET (autovacuum_enabled = off)")  # which would come as it likes
            if work == "tasks":
                declare_handler(ground, 1000)
            sides[name] = partial(_round, ground, work, rolls, rows, plan)
            _round(ground, work, rolls, min(rows, _WARM_UP), plan)  # topics, the first numbered tables
        found = plan.alternate(sides)
    told: dict[str, Any] = {"goal": _GOAL, "where": _WHERE, "details": {"rows": rows}}
    figure, unit = (shorter, "ms") if work == "enqueue" else (faster, f"{'tasks' if work == 'tasks' else 'messages'}/s")
    return figure(f"{work}, {database}, rolling", found["on"], "deleting by rows", found["off"], unit=unit, **told)


def _round(ground: Ground, work: str, rolls: int, rows: int, plan: Plan) -> float:
    options = {"cleaning_interval_seconds": 0.05, **({} if rolls else _BY_ROWS)}
    if work == "cleaning":
        options["cleaning_pause_seconds"] = 0.001
    # Each round has a process of its own: two at once would share the machine, and one rests beside the other.
    with running("tasks" if work == "tasks" else "relay", [job_on(ground, rolls=rolls, options=options)]):
        await_shares(ground, 1)
        if work == "enqueue":
            return _enqueue_milliseconds(ground, rows)
        _speed(ground, plan.scaled(_WARM_UP), work)
        _await_empty(ground)
        speed = _speed(ground, rows, work)
    ground.run(f"TRUNCATE TABLE {ground.table}")  # what is still to go would take longer than what was measured
    return speed


def _speed(ground: Ground, rows: int, work: str) -> float:
    """Return how many are done a second from their commit on, or leave the table."""
    ground.add_at_once(rows, HANDLER if work == "tasks" else TASK_TYPE)
    began = perf_counter()
    if work != "cleaning":
        _await(ground.is_done)
    else:
        _await_empty(ground)
    return rows / (perf_counter() - began)


def _enqueue_milliseconds(ground: Ground, transactions: int) -> float:
    """Return how long a transaction with ten messages takes while those before are sent, and leave the table."""
    messages = [Message(payload(300), key=f"account-{number}") for number in range(10)]
    took = 0.0
    with ground.engine.connect() as connection:
        for _ in range(transactions):
            began = perf_counter()
            with connection.begin():
                ground.outbox.publish_many(connection, TASK_TYPE, messages)
            took += perf_counter() - began
            sleep(0.002)
    _await_empty(ground)
    return took / transactions * 1000


def _await_empty(ground: Ground) -> None:
    _await(lambda: ground.ask(f"SELECT 1 FROM {ground.table} LIMIT 1") is None)


def _await(is_over: Callable[[], bool]) -> None:
    deadline = perf_counter() + _PATIENCE_SECONDS
    while not is_over():
        if perf_counter() > deadline:
            raise RuntimeError(f"not all tasks are through in {_PATIENCE_SECONDS:.0f} s")
        sleep(_LOOK_SECONDS)
