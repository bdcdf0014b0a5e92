"""What a worker has in hand, for those who ask while it works: any thread may."""

from __future__ import annotations

import time

from asyncflow.scheduler.telling.instance_state import ToldCrew
from asyncflow.scheduler.worker.worker import Worker


class Workload:
    """Look at a worker from outside; lives as long as it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def in_hand(self) -> int:
        """Return the number of claims that are not judged."""
        return sum(list(self._worker.crews.held.values()))

    def full_crews(self) -> list[ToldCrew]:
        """Return the crews that have no hand free; moments are this process's, in seconds since 1970."""
        boot = time.time() - time.monotonic()
        found = []
        for crew in list(self._worker.crews.by_type.values()):
            attempts = crew.at_work()
            if len(attempts) >= crew.task_type.concurrency:
                began, usual = [attempt.began_at for attempt in attempts], crew.usual_seconds
                found.append(
                    ToldCrew(
                        task_type=crew.task_type.name,
                        at_work=len(attempts),
                        since=boot + min(began),
                        youngest_since=boot + max(began),
                        waiting=len(crew.waiting()),
                        usual_seconds=None if usual is None else round(usual, 4),
                    )
                )
        return found

    def paced(self) -> list[str]:
        """Return the types of which no task may be claimed at this moment, for some were within their interval."""
        now, types = time.monotonic(), self._worker.types
        return [
            name
            for name, claimed_at in list(self._worker.crews.claimed_at.items())
            if name in types and claimed_at + types[name].interval_seconds > now
        ]
