"""Holds over several databases: each in its turn, and none waited for that has lately been slow."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from asyncflow.events import StepFailed
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.together.places import Places
from asyncflow.scheduler.worker.claiming.claim import Claim

_PATIENCE_SECONDS = 0.25  # with a database that has been quick so far
_REST_SECONDS = 1.0  # before one that has failed is asked again
_KEPT_SECONDS = 5.0  # that claims which came late wait for their worker's next hold; then they are given back


@dataclass
class _Promptness:
    """Know how one database has answered lately."""

    is_slow: bool = False  # so nobody waits for it; what it gives is for the worker's next hold
    rests_until: float = 0.0
    fault: Exception | None = None  # of the last ask
    asked: asyncio.Task[list[Claim]] | None = None  # which nobody waits for any more

    def is_ready(self) -> bool:
        """Tell whether it may be asked: by one at a time, where that takes long."""
        return self.asked is None and time.monotonic() >= self.rests_until


@dataclass
class _Late:
    """Hold claims of one database that came when their hold had been answered."""

    name: str
    claims: list[Claim]
    timer: asyncio.TimerHandle | None = field(default=None)


class JointHolds:
    """Claim in several databases for one hold; lives as long as the service, on its event loop.

    The database that is asked first changes with each hold, so that a backlog of one starves no other. One that does
    not answer at once is asked on: what it gives is handed to the same worker with its next hold.
    """

    def __init__(self, services: Mapping[str, TaskService], places: Places) -> None:
        self._services = services
        self._places = places
        self._turns = list(services)
        self._paces = {name: _Promptness() for name in services}
        self._late: dict[str, list[_Late]] = {}  # by worker
        self._news = asyncio.Event()
        self.is_stopping = False

    async def hold(self, worker: str, limits: Mapping[str, int], lease_seconds: float) -> list[Claim]:
        """Claim due tasks up to the limits of all databases together; raises what is wrong if none answers."""
        taken = self._take_late(worker, limits)
        try:
            for name in self._next_turns():
                left = _left(limits, taken)
                if not left:
                    break
                if self._paces[name].is_ready():
                    taken += await self._ask(name, worker, left, lease_seconds)
        except BaseException:
            self.give_back(taken)
            raise
        faults = [pace.fault for pace in self._paces.values() if pace.fault is not None]
        if len(faults) == len(self._services) and not taken:
            raise faults[0]
        return taken

    async def wait(self, names: Collection[str], seconds: float) -> None:
        """Return when there may be something to hold, the time is up, or the service stops."""
        self._news.clear()
        ready = [its for name, its in self._services.items() if self._paces[name].is_ready()]
        if len(ready) < len(self._services):
            seconds = min(seconds, _REST_SECONDS)
        waits = [asyncio.ensure_future(its.waiting_holds.wait(names, seconds)) for its in ready]
        waits.append(asyncio.ensure_future(self._wait_for_news()))
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def stop(self) -> None:
        """Let all who wait return, and give back what came late."""
        self.is_stopping = True
        self._news.set()
        for pace in self._paces.values():
            if pace.asked is not None:
                pace.asked.cancel()  # what it claims is given back
        for worker in list(self._late):
            for late in self._late.pop(worker):
                self._forget(late)
                self.give_back(late.claims)

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Let the tasks be due again."""
        for name, some in self.by_database(claims).items():
            self._services[name].handover.give_back(some)

    def by_database(self, claims: Sequence[Claim]) -> dict[str, list[Claim]]:
        """Return claims by the names of their databases; of one that nobody knows any more the claim runs out."""
        parts: dict[str, list[Claim]] = {}
        for claim in claims:
            name = self._places.of(claim.task.id)
            if name is not None:
                parts.setdefault(name, []).append(claim)
        return parts

    async def _wait_for_news(self) -> None:
        await self._news.wait()

    def _next_turns(self) -> list[str]:
        self._turns = [*self._turns[1:], self._turns[0]]
        return list(self._turns)

    async def _ask(self, name: str, worker: str, left: Mapping[str, int], lease_seconds: float) -> list[Claim]:
        service, pace = self._services[name], self._paces[name]
        limits = {kind: most for kind, most in left.items() if service.catalogue.is_held(kind)}
        if not limits:
            return []
        began = time.monotonic()
        asked = asyncio.ensure_future(service.hold(worker, limits, lease_seconds))
        try:
            await asyncio.wait({asked}, timeout=0 if pace.is_slow else _PATIENCE_SECONDS)
        except BaseException:
            asked.cancel()  # what it claims is given back
            raise
        if not asked.done():
            pace.asked, pace.is_slow = asked, True
            asked.add_done_callback(partial(self._arrive, name, worker, began))
            return []
        pace.is_slow = False
        return self._answer(name, asked)

    def _arrive(self, name: str, worker: str, began: float, asked: asyncio.Task[list[Claim]]) -> None:
        """Keep what came late for the worker's next hold."""
        pace = self._paces[name]
        pace.asked = None
        pace.is_slow = time.monotonic() - began > _PATIENCE_SECONDS
        if asked.cancelled():
            return
        if claims := self._answer(name, asked):
            if self.is_stopping:
                self.give_back(claims)
            else:
                self._keep(worker, _Late(name, claims))
        self._news.set()

    def _keep(self, worker: str, late: _Late) -> None:
        self._late.setdefault(worker, []).append(late)
        late.timer = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._put_back, worker, late)

    def _put_back(self, worker: str, late: _Late) -> None:
        if late in self._late.get(worker, ()):
            self._late[worker].remove(late)
            self._drop_if_empty(worker)
            self.give_back(late.claims)

    def _take_late(self, worker: str, limits: Mapping[str, int]) -> list[Claim]:
        """Return what came late for this worker, as far as it has room for it; the rest is given back."""
        room = Counter(limits)
        taken: list[Claim] = []
        for late in self._late.pop(worker, ()):
            self._forget(late)
            for claim in late.claims:
                if room[claim.task.task_type] > 0:
                    room[claim.task.task_type] -= 1
                    taken.append(claim)
                else:
                    self.give_back([claim])
        return taken

    def _forget(self, late: _Late) -> None:
        if late.timer is not None:
            late.timer.cancel()

    def _drop_if_empty(self, worker: str) -> None:
        if not self._late[worker]:
            del self._late[worker]

    def _answer(self, name: str, asked: asyncio.Task[list[Claim]]) -> list[Claim]:
        """Return what a database gave; one that failed rests, is told of, and gave nothing."""
        pace = self._paces[name]
        try:
            claims = asked.result()
        except Exception as error:  # noqa: BLE001 - the others are asked all the same
            pace.fault, pace.rests_until = error, time.monotonic() + _REST_SECONDS
            self._services[name].hooks.emit(StepFailed("hold", error, _REST_SECONDS))
            return []
        pace.fault = None
        self._places.note([claim.task.id for claim in claims], name)
        return claims


def _left(limits: Mapping[str, int], taken: Sequence[Claim]) -> dict[str, int]:
    """Return how many more of each type there is room for."""
    return dict(Counter(limits) - Counter(claim.task.task_type for claim in taken))
