"""The crews of a worker: who gets which claims, and what of them is in hand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.scheduler.loops.callers_loop import Coroutines
from asyncflow.scheduler.loops.threads import Threads
from asyncflow.scheduler.worker.attempt import Attempt
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.crew import Crew, Finish
from asyncflow.scheduler.worker.handler_call import Tools


class Crews:
    """Hand claims to the crews of their types, and count those that are not judged; lives as long as its worker.

    All of it is for the worker's thread, but for looks at ``by_type``, ``held`` and ``claimed_at``.
    """

    def __init__(self, tools: Tools, threads: Threads, event_loop: Coroutines, finish: Finish) -> None:
        self._tools = tools
        self._threads = threads
        self._event_loop = event_loop
        self._finish = finish
        self.by_type: dict[str, Crew] = {}
        self.held: Counter[str] = Counter()  # claims of each task type that are not judged
        self.claimed_at: dict[str, float] = {}  # on the monotonic clock, the last claim of each task type
        self._untaken: list[Sequence[Claim]] = []  # claimed, and in the hands of no crew yet
        self._is_astray = False  # from a claim until each crew has its part, and hands for it

    @property
    def are_busy(self) -> bool:
        """Tell whether there are claims that are not judged."""
        return self.held.total() > 0

    def room_of(self, task_type: HandlerType) -> int:
        """Return how many tasks to claim: none while many wait, so that few statements claim many."""
        crew = self.by_type.get(task_type.name)
        if crew is not None and not crew.runs_low:
            return 0
        return task_type.most_claimed - self.held[task_type.name]

    def seconds_until_claim(self, task_type: HandlerType) -> float:
        """Return how long no task of the type may be claimed, for some were a moment ago."""
        claimed_at = self.claimed_at.get(task_type.name)
        return 0.0 if claimed_at is None else max(0.0, claimed_at + task_type.interval_seconds - time.monotonic())

    def adopt(self, types: Mapping[str, HandlerType]) -> Iterator[Claim]:
        """Let the crews go on as their types are configured now; yield what waits for a type that is off."""
        for name, crew in self.by_type.items():
            if name not in types or crew.task_type is types[name]:
                continue
            if not types[name].enabled:
                yield from crew.withdraw()
            crew.adopt(types[name])

    def receive(self, claims: Sequence[Claim], free: Mapping[str, int]) -> bool:
        """Be who answers for claims from here on; tell whether a type has as many of them as there was room for."""
        self._untaken, self._is_astray = [claims], True
        self._untaken = [list(group) for _, group in groupby(claims, attrgetter("task.task_type"))]
        return any(len(group) == free.get(group[0].task.task_type) for group in self._untaken)

    def hand_out(self, types: Mapping[str, HandlerType]) -> None:
        """Let the crews take what was received; what one of them raises is raised when all others have theirs."""
        fault: Exception | None = None
        for group in list(self._untaken):
            try:
                self._take(types[group[0].task.task_type], group)
            except Exception as error:  # noqa: BLE001 - raised below
                fault = fault or error
        if fault is not None:
            raise fault
        self._is_astray = False

    def recover(self) -> Iterator[Claim]:
        """After a hand-out that raised, leave nothing without hands; yield the claims that no crew took."""
        if self._is_astray:
            yield from self.untaken()
            self.resume()
            self._is_astray = False

    def untaken(self) -> Iterator[Claim]:
        """Yield the claims that no crew took, and know them no more."""
        while self._untaken:
            yield from self._untaken[-1]
            self._untaken.pop()

    def judge(self, name: str, claims: int = 1) -> None:
        """Know that claims of a type are judged, or lost."""
        self.held[name] -= claims

    def at_work(self) -> list[Attempt]:
        """Return the attempts whose handlers have begun and not ended."""
        return [attempt for crew in self.by_type.values() for attempt in crew.at_work()]

    def waiting(self) -> list[Claim]:
        """Return the claims whose handlers have not begun."""
        return [claim for crew in self.by_type.values() for claim in crew.waiting()]

    def withdraw(self) -> Iterator[Claim]:
        """Yield the claims whose handlers have not begun, which do not begin any more."""
        for crew in self.by_type.values():
            yield from crew.withdraw()

    def lose(self, lost: Collection[UUID]) -> None:
        """Let waiting tasks whose claims are ``lost`` not begin any more; let others take their places."""
        for name, crew in self.by_type.items():
            self.judge(name, len(crew.withdraw(lost)) if lost else 0)
            crew.resume()

    def resume(self) -> None:
        """Put hands to work where tasks wait; raises if no thread can be had."""
        for crew in self.by_type.values():
            crew.resume()

    def _take(self, task_type: HandlerType, claims: Sequence[Claim]) -> None:
        crew = self.by_type.get(task_type.name)
        if crew is None:
            crew = Crew(task_type, self._tools, self._threads, self._event_loop, self._finish)
            self.by_type[task_type.name] = crew
        crew.take(claims)
        self.held[task_type.name] += len(claims)
        self._untaken.remove(claims)
        self.claimed_at[task_type.name] = time.monotonic()
        crew.resume()
