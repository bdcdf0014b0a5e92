"""The worker: claims tasks, has their handlers do them, and settles what became of them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from asyncflow.events import HandlerFailedLate, Hooks, StepFailed
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.again import insist
from asyncflow.scheduler.loops.callers_loop import Coroutines
from asyncflow.scheduler.loops.pause import LONG_SECONDS, AdaptivePause
from asyncflow.scheduler.loops.renewal_time import RenewalTime
from asyncflow.scheduler.loops.settled_events import SettledEvents
from asyncflow.scheduler.loops.threads import EventLoop, Threads
from asyncflow.scheduler.worker.attempt import Attempt, Tools, tell_of_failure
from asyncflow.scheduler.worker.claim_source import DESTINATION, Claim, WorkerSettings
from asyncflow.scheduler.worker.crew import Crew
from asyncflow.scheduler.worker.verdict import GIVEN_BACK, NOT_TAKEN, SWITCHED_OFF, Verdict, verdict_of
from asyncflow.scheduler.worker.verdict_writer import VerdictWriter

_LOOK_SECONDS = 0.05  # while a stop or a drain waits for handlers, and between two settles while tasks wait
_PAUSE_IN_STOP_SECONDS = 0.2  # after a failure
_PART_OF_STOP = 0.8  # of the time to stop that handlers get; the rest is for writing what became of them


class Worker:
    """Step by step settle, renew, give up and claim; lives as long as its scheduler, one thread steps it.

    Holds no more claims of a type than its ``limit``, by default its ``concurrency``: what only waits here,
    others could do. Closes its ``source``.

    ``types`` are those with which it works, as they are in force. ``on_finished`` is called, on a handler's thread,
    when there may be something to do.
    """

    def __init__(
        self,
        types: Mapping[str, HandlerType],
        tools: Tools,
        settings: WorkerSettings,
        hooks: Hooks,
        on_finished: Callable[[], None] = lambda: None,
    ) -> None:
        self.types = types
        self._tools = tools
        self._source = tools.source
        self._settings = settings
        self._hooks = hooks
        self._events = SettledEvents(hooks, DESTINATION)
        self._on_finished = on_finished
        self._pause = AdaptivePause(settings.min_pause_seconds, settings.max_pause_seconds)
        self._threads = Threads()
        self._event_loop: Coroutines = EventLoop() if tools.at_home is None else tools.at_home.loop
        self.crews: dict[str, Crew] = {}
        self.held: Counter[str] = Counter()  # claims of each task type that are not judged
        self._untaken: list[Sequence[Claim]] = []  # claimed, and in the hands of no crew yet
        self._is_astray = False  # from a claim until each crew has its part, and hands for it
        self.claimed_at: dict[str, float] = {}  # on the monotonic clock, the last claim of each task type
        self._finished: deque[tuple[Attempt, BaseException | None]] = deque()
        self._verdicts = VerdictWriter(tools.source, hooks, DESTINATION)
        self._streams = False  # the last claim took as many tasks of a type as there was room for
        self._some_finished = threading.Event()
        # Of finished ones that were not taken in yet. Handlers' threads set it, the worker's clears it before it takes
        # in what is there: two that set it at once wake the worker twice, and none that comes after is missed.
        self._is_told = False
        self._renewal = RenewalTime(settings.claim_lease_seconds)

    def step(self) -> float:
        """Do one round; return the seconds until the next look, 0 after one that found work."""
        self._tend()
        types = {name: kind for name, kind in self.types.items() if kind.handler is not None}
        if not types:
            return self._settings.max_pause_seconds
        self._adopt(types)
        wait = self._claim(types)
        if wait == 0:
            self._pause.reset()
            return 0.0
        return min(self._pause.after_nothing(wait), self._seconds_until_care())

    def expect_work(self) -> None:
        """Look often again, for a commit was announced."""
        self._pause.reset()

    def drain(self, beat: Callable[[], None]) -> None:
        """Work until nothing is due and no handler is at work; ``beat`` is called between the rounds."""
        while self.step() == 0 or self._is_busy or self._verdicts:
            beat()
            self._await_some()

    def close(self) -> None:
        """Give back what has not begun, let the handlers at work end, give back what does not; release everything."""
        try:
            self._wind_up()
        finally:
            self._verdicts.close()
            self._threads.close()
            self._event_loop.close()
            self._source.close()

    @property
    def _is_busy(self) -> bool:
        return self.held.total() > 0

    # -- claiming ----------------------------------------------------------------------------------------

    def _adopt(self, types: Mapping[str, HandlerType]) -> None:
        """Let the crews go on as their types are configured now; give back what waits for a type that is off."""
        for name, crew in self.crews.items():
            if name not in types or crew.task_type is types[name]:
                continue
            if not types[name].enabled:
                for claim in crew.withdraw():
                    self._judge(claim, SWITCHED_OFF)
            crew.adopt(types[name])

    def _claim(self, types: dict[str, HandlerType]) -> float:
        """Claim and begin what there is room for; return 0, or the seconds until something else may be due."""
        enabled = [kind for kind in types.values() if kind.enabled]
        paces = {kind.name: self._seconds_until_claim(kind) for kind in enabled if kind.interval_seconds}
        free = {kind.name: room for kind in enabled if not paces.get(kind.name) and (room := self._room(kind)) > 0}
        next_pace = min(filter(None, paces.values()), default=LONG_SECONDS)
        if not free:
            return next_pace
        self._streams = False
        found = self._source.claim_due(free)
        self._renewal.take_in((claim.held_until for claim in found.claims), among_others=self._is_busy)
        self._untaken, self._is_astray = [found.claims], True
        self._hand_out(found.claims, types, free)
        self._is_astray = False
        return 0.0 if found.claims else min(found.look_in_seconds, next_pace)

    def _seconds_until_claim(self, task_type: HandlerType) -> float:
        """Return how long no task of the type may be claimed, for some were a moment ago."""
        claimed_at = self.claimed_at.get(task_type.name)
        return 0.0 if claimed_at is None else max(0.0, claimed_at + task_type.interval_seconds - time.monotonic())

    def _room(self, task_type: HandlerType) -> int:
        """Return how many tasks to claim: none while many wait, so that few statements claim many."""
        crew = self.crews.get(task_type.name)
        if crew is not None and not crew.runs_low:
            return 0
        return task_type.most_claimed - self.held[task_type.name]

    def _hand_out(self, claims: Sequence[Claim], types: Mapping[str, HandlerType], free: Mapping[str, int]) -> None:
        """Let the crews take their claims; what one of them raises is raised when all others have theirs."""
        self._untaken = [list(group) for _, group in groupby(claims, lambda claim: claim.task.task_type)]
        fault: Exception | None = None
        for group in list(self._untaken):
            name = group[0].task.task_type
            self._streams |= len(group) == free.get(name)
            try:
                self._take(types[name], group)
            except Exception as error:  # noqa: BLE001 - raised below
                fault = fault or error
        if fault is not None:
            raise fault

    def _take(self, task_type: HandlerType, claims: Sequence[Claim]) -> None:
        crew = self.crews.get(task_type.name)
        if crew is None:
            crew = Crew(task_type, self._tools, self._threads, self._event_loop, self._finish)
            self.crews[task_type.name] = crew
        crew.take(claims)
        self.held[task_type.name] += len(claims)
        self._untaken.remove(claims)
        self.claimed_at[task_type.name] = time.monotonic()
        crew.resume()

    def _recover(self) -> None:
        """After a step that raised between claiming and handing out, leave nothing without hands."""
        if self._is_astray:
            self._give_back_untaken()
            for crew in self.crews.values():
                crew.resume()
            self._is_astray = False

    def _give_back_untaken(self) -> None:
        while self._untaken:
            for claim in self._untaken[-1]:
                self._verdicts.add(claim, NOT_TAKEN)
            self._untaken.pop()

    def _finish(self, attempt: Attempt, error: BaseException | None) -> None:
        """Take in, on the handler's thread, that it is done; wake the worker if it may have to claim more."""
        self._finished.append((attempt, error))
        if not self._is_told and self.crews[attempt.task_type.name].runs_low:
            self._is_told = True
            self._some_finished.set()
            self._on_finished()

    # -- looking after what is at work ---------------------------------------------------------------------

    def _wind_up(self) -> None:
        """Leave nothing at work and nothing unwritten; raises what the last attempt to write raises."""
        self._streams = False
        self._give_back_untaken()
        for crew in self.crews.values():
            for claim in crew.withdraw():
                self._judge(claim, GIVEN_BACK)
            for attempt in crew.at_work():
                attempt.cancel()
        until = time.monotonic() + self._settings.stop_timeout_seconds * _PART_OF_STOP
        while (self._is_busy or self._verdicts) and time.monotonic() < until:
            self._await_some()
            try:
                self._tend()
            except Exception as error:  # noqa: BLE001 - the handlers at work may end well, and the database come back
                self._hooks.emit(StepFailed(DESTINATION, error, _PAUSE_IN_STOP_SECONDS))
                time.sleep(_PAUSE_IN_STOP_SECONDS)
        self._give_up(self._at_work(), GIVEN_BACK)
        insist(lambda: self._verdicts.write(by_second=False))

    def _tend(self) -> None:
        self._recover()
        self._take_in_finished()
        self._give_up_overdue()
        self._verdicts.write(by_second=self._streams)
        self._renew_if_due()

    def _take_in_finished(self) -> None:
        self._is_told = False
        own_commits = fenced = 0
        while self._finished:
            attempt, error = self._finished.popleft()
            own_commits += attempt.is_settled and attempt.claim.tell_done()
            if attempt.is_settled and error is not None:
                task = attempt.claim.task
                self._hooks.emit(HandlerFailedLate(task.id, task.task_type, error))
            if attempt.is_over:
                fenced += not attempt.is_settled
            elif attempt.is_settled:
                self.held[attempt.task_type.name] -= 1
            else:
                self._judge(attempt.claim, self._verdict_of(attempt, error))
        if own_commits:
            self._events.of_all({Status.SUCCESS: own_commits})
        self._events.of_fenced(fenced)

    def _give_up_overdue(self) -> None:
        now = time.monotonic()
        for attempt in self._at_work():
            if attempt.overdue_at <= now:
                self._give_up([attempt], self._verdict_of(attempt, _too_late(attempt)))

    def _at_work(self) -> list[Attempt]:
        return [attempt for crew in self.crews.values() for attempt in crew.at_work()]

    def _give_up(self, attempts: Iterable[Attempt], verdict: Verdict) -> None:
        for attempt in attempts:
            self._judge(attempt.claim, verdict)  # first: the crew may find no hand for what waits
            self.crews[attempt.task_type.name].give_up(attempt)

    def _verdict_of(self, attempt: Attempt, error: BaseException | None) -> Verdict:
        """Say what becomes of a task after an attempt; tell of one that failed."""
        claim = attempt.claim
        verdict = verdict_of(error, attempt.task_type, claim.attempt, claim.task.max_retries)
        tell_of_failure(self._hooks, attempt, error, verdict)
        return verdict

    def _judge(self, claim: Claim, verdict: Verdict) -> None:
        self.held[claim.task.task_type] -= 1
        self._verdicts.add(claim, verdict)

    def _renew_if_due(self) -> None:
        if not self._is_busy or not self._renewal.begins():
            return
        at_work = [attempt for attempt in self._at_work() if not attempt.is_settled]
        waiting = [claim for crew in self.crews.values() for claim in crew.waiting()]
        lost = self._source.renew([*(attempt.claim for attempt in at_work), *waiting])
        if lost is None:
            self._renewal.ask_again_in(_LOOK_SECONDS)
        else:
            self._renewal.end()
        for attempt in at_work:
            if lost and attempt.claim.task.id in lost:
                attempt.cancel()
        for name, crew in self.crews.items():
            self.held[name] -= len(crew.withdraw(lost)) if lost else 0
            crew.resume()

    def _seconds_until_care(self) -> float:
        if self._verdicts or any(crew.waiting() for crew in self.crews.values()):
            return _LOOK_SECONDS
        if not self._is_busy:
            return LONG_SECONDS
        overdue = [attempt.overdue_at for attempt in self._at_work()]
        return max(0.001, min([self._renewal.due_at, *overdue]) - time.monotonic())

    def _await_some(self) -> None:
        self._some_finished.wait(_LOOK_SECONDS)
        self._some_finished.clear()


def _too_late(attempt: Attempt) -> TimeoutError:
    seconds = attempt.task_type.max_processing_time_seconds
    return TimeoutError(f"took longer than max_processing_time_seconds, {seconds:g}")
