"""Handlers that do nothing, claimed and completed, beside claiming and completing by hand; tasks a second."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks.figure import Figure, Goal, faster
from benchmarks.ground import GROUNDS, Ground
from benchmarks.instance import HANDLER, Job, declare_handler
from benchmarks.plan import Plan
from benchmarks.processes import await_shares, running, settling_speed

_ROWS = 120_000  # to last for seconds: instances that rest begin up to a second apart
_WARM_UP = 2000
_WHERE = (
    "pages of all columns, decoded in the driver and handed through threads: twice the Python of a task; "
    "and twice as many connections that write"
)


def tasks(plan: Plan) -> list[Figure]:
    """Measure 1 process and 4, on both databases."""
    cases = [(database, processes) for database in ("postgresql", "mariadb") for processes in (4, 1)]
    return [_beside_hand(*case, plan.part(1 / len(cases))) for case in plan.cases(cases)]


def _beside_hand(database: str, processes: int, plan: Plan) -> Figure:
    rows = plan.scaled(_ROWS)
    with ExitStack() as stack:
        ours, by_hand = (stack.enter_context(GROUNDS[database]()) for _ in range(2))
        for ground in (ours, by_hand):
            declare_handler(ground, 1)
            if database == "postgresql":
                # Its analysis of a table that is just being filled makes the loop by hand take five times as long.
                ground.run(f"ALTER TABLE {ground.table} SET (autovacuum_enabled = off)")
        stack.enter_context(running("tasks", [job_on(ours)] * processes))
        await_shares(ours, processes)
        settling_speed(ours, plan.scaled(_WARM_UP), HANDLER)

        def speed_by_hand() -> float:
            # They look fifty times a second while they have nothing to do, which would cost the others.
            jobs = [job_on(by_hand, share=(number, processes)) for number in range(processes)]
            with running("tasks by hand", jobs):
                settling_speed(by_hand, plan.scaled(_WARM_UP), HANDLER)
                return settling_speed(by_hand, rows, HANDLER)

        speeds = plan.alternate({"ours": lambda: settling_speed(ours, rows, HANDLER), "by hand": speed_by_hand})
    is_whole = processes == 4
    goal = Goal(
        text=">= 0.8, >= 10,000/s" if is_whole else ">= 0.8",
        least_ratio=0.8,
        least_value=10_000 if is_whole else None,
    )
    return faster(
        f"{database}, {processes} process{'es' if is_whole else ''}",
        speeds["ours"],
        "claim and complete by hand",
        speeds["by hand"],
        unit="tasks/s",
        goal=goal,
        where=_WHERE,
        details={"rows": rows},
    )


def job_on(ground: Ground, **values: Any) -> Job:
    """Return the job of a process on a ground."""
    url = ground.url.render_as_string(hide_password=False)
    return Job(url=url, kafka=ground.kafka, topic=ground.topic, **values)
