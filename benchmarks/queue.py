"""Handlers that do nothing, by workers elsewhere: through a queue on Redis, beside holding by HTTP; tasks a second."""

from __future__ import annotations

import secrets
from contextlib import ExitStack

from benchmarks.figure import Figure, Goal, faster
from benchmarks.ground import GROUNDS, Ground, NotReadyError
from benchmarks.instance import HANDLER, declare_handler
from benchmarks.plan import Plan
from benchmarks.processes import running, settling_speed
from benchmarks.tasks import job_on
from tools.services import load, ports

_ROWS = 10_000
_WARM_UP = 500
_LIMIT = 200  # tasks that a worker holds
_WHERE = "three writes of a task, where its beginning is heard of before its outcome; and the Python of two more hops"


def queue(plan: Plan) -> list[Figure]:
    """Measure 1 worker and 4, each a process, on both databases; one process beside them has the database."""
    cases = [(database, workers) for database in ("postgresql", "mariadb") for workers in (4, 1)]
    return [_beside_http(*case, plan.part(1 / len(cases))) for case in plan.cases(cases)]


def _beside_http(database: str, workers: int, plan: Plan) -> Figure:
    redis = load().redis_url
    if not redis:
        raise NotReadyError('Redis is needed: make services SERVICES="mariadb postgresql kafka redis"')
    rows = plan.scaled(_ROWS)
    with ExitStack() as stack:
        by_queue, by_http = (stack.enter_context(GROUNDS[database]()) for _ in range(2))
        declare_handler(by_queue, _LIMIT, "workers")
        declare_handler(by_http, _LIMIT)

        def speed(ground: Ground, role: str, where: str) -> float:
            jobs = [job_on(ground, limit=_LIMIT, place=where)] * workers
            with running(role, jobs[:1]), running(f"worker of a {role}", jobs):
                settling_speed(ground, plan.scaled(_WARM_UP), HANDLER)
                return settling_speed(ground, rows, HANDLER)

        sides = {
            "queue": lambda: speed(by_queue, "queue", f"{redis} bench-{secrets.token_hex(4)}"),
            "http": lambda: speed(by_http, "service", f"http://{ports.LOOPBACK}:{ports.choose()}"),
        }
        speeds = plan.alternate(sides)
    return faster(
        f"{database}, {workers} worker{'s' if workers > 1 else ''}",
        speeds["queue"],
        "hold by HTTP",
        speeds["http"],
        unit="tasks/s",
        goal=Goal(text=">= 1", least_ratio=1.0),
        where=_WHERE,
        details={"rows": rows, "limit": _LIMIT},
    )
