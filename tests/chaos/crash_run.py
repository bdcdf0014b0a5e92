"""One crash test: writers at work, schedulers that die and are started again, and the account of it all."""

from __future__ import annotations

import random
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from tests.chaos.oracle import Verdict, judge
from tests.chaos.plan import Plan
from tests.chaos.process import ProcessUnderTest
from tests.chaos.shop import Shop
from tests.chaos.topics import read_whole
from tools.services.process import wait_until

SCHEDULER = ("asyncflow.cli", "run", "tests.chaos.scheduler_process:make")
WRITERS = ("tests.chaos.writing_process",)
_SETTLED_SECONDS = 120.0
_MOST_EVENTS = 9  # a scheduler is killed at one of its first few steps: three rounds
_MOST_DELAY_SECONDS = 0.02


@dataclass(frozen=True)
class Kill:
    """Hold when a scheduler died, what it had told last, and how many rows it had fetched and not settled."""

    at: float
    last: str
    in_flight: int


class CrashRun:
    """Start processes by one plan, kill them, and judge the outcome; every process ends with it."""

    def __init__(self, name: str, shop: Shop, plan: Plan) -> None:
        self.kills: list[Kill] = []
        self.schedulers: list[ProcessUnderTest] = []
        self._name = name
        self._shop = shop
        self._plan = plan
        self._processes = ExitStack()

    def close(self) -> None:
        """End every process that still runs."""
        self._processes.close()

    def start_scheduler(self, die_at: str = "", die_on: int = 0) -> ProcessUnderTest:
        """Start a scheduler; it kills itself at that point of that batch, if one is given."""
        plan = replace(self._plan, die_at=die_at, die_on=die_on)
        scheduler = self._processes.enter_context(ProcessUnderTest(SCHEDULER, plan))
        self.schedulers.append(scheduler)
        return scheduler

    def start_writers(self, die_at: str = "", die_on: int = 0) -> ProcessUnderTest:
        """Start a process of writing threads; it kills itself at that point of that transaction, if one is given."""
        plan = replace(self._plan, die_at=die_at, die_on=die_on)
        writers = self._processes.enter_context(ProcessUnderTest(WRITERS, plan))
        writers.wait_for(lambda: bool(writers.of("started")))
        return writers

    def kill_at_random(self, scheduler: ProcessUnderTest, chance: random.Random) -> None:
        """Kill a scheduler at, or a little after, one of its first steps at work."""
        steps = 1 + chance.randint(1, _MOST_EVENTS)
        scheduler.wait_for(lambda: len(scheduler.events) >= steps)
        scheduler.wait_for_next_event(chance.uniform(0, _MOST_DELAY_SECONDS))
        scheduler.kill()
        self.note_kill(scheduler)

    def note_kill(self, scheduler: ProcessUnderTest) -> None:
        """Take the death of a scheduler into the account."""
        assert scheduler.ended_at is not None
        last = scheduler.events[-1]["kind"] if scheduler.events else "nothing"
        self.kills.append(Kill(scheduler.ended_at, last, in_flight(scheduler.events)))

    def settle_all(self) -> None:
        """Wait until no message is unsettled, and stop the last scheduler in good order."""
        last = self.schedulers[-1]
        wait_until(lambda: self._shop.unsettled() == 0 or last.ended_at is not None, _SETTLED_SECONDS)
        assert self._shop.unsettled() == 0, f"messages are unsettled; it told {last.events[-5:]}"
        assert last.stop() == 0

    def verdict(self) -> Verdict:
        """Let the oracle compare the orders with the topic."""
        return judge(
            self._name,
            self._shop.committed(),
            read_whole(self._plan.topic),
            seconds_to_recover=self._seconds_to_recover(),
        )

    def most_duplicates(self) -> int:
        """Return how many rows were in flight at all kills, and how many the broker left without an answer."""
        return sum(kill.in_flight for kill in self.kills) + self.unanswered()

    def unanswered(self) -> int:
        """Return how many rows the broker left without an answer in time: they are sent again, and may come twice."""
        return sum(event["tasks"] - event["sent"] for one in self.schedulers for event in one.of("published"))

    def kill_points(self) -> dict[str, int]:
        """Return how many schedulers had told what last when they died."""
        return dict(Counter(kill.last for kill in self.kills))

    def _seconds_to_recover(self) -> float:
        """Return the longest time from a kill to the first batch that the successor settled, if it lived to."""
        waits = [
            successor.of("settled")[0]["at"] - kill.at
            for kill, successor in zip(self.kills, self.schedulers[1:], strict=False)
            if successor.of("settled")
        ]
        return max(waits, default=0.0)


def in_flight(events: list[dict[str, Any]]) -> int:
    """Return the size of the rounds that were fetched and not settled: of a backlog, two can be."""
    rounds: deque[int] = deque()
    for event in events:
        if event["kind"] == "fetched":
            rounds.append(event["tasks"])
        elif event["kind"] == "settled":
            rounds.popleft()
    return sum(rounds)
