"""The worker: claims tasks, has their handlers do them, and settles what became of them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter

from asyncflow.events import HandlerFailedLate, Hooks, StepFailed
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.again import insist
from asyncflow.scheduler.loops.callers_loop import Coroutines
from asyncflow.scheduler.loops.pause import LONG_SECONDS, AdaptivePause
from asyncflow.scheduler.loops.renewal_time import RenewalTime
from asyncflow.scheduler.loops.settled_events import SettledEvents
from asyncflow.scheduler.loops.threads import EventLoop, Threads, serves
from asyncflow.scheduler.worker.attempt import Attempt, tell_of_failure
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import DESTINATION
from asyncflow.scheduler.worker.crews import Crews
from asyncflow.scheduler.worker.handler_call import Tools
from asyncflow.scheduler.worker.verdict import GIVEN_BACK, NOT_TAKEN, SUCCEEDED, SWITCHED_OFF, Verdict, verdict_of
from asyncflow.scheduler.worker.verdict_writer import VerdictWriter, waits_of
from asyncflow.scheduler.worker.worker_settings import WorkerSettings

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
        self._source = tools.source
        self._settings = settings
        self._hooks = hooks
        self._events = SettledEvents(hooks, DESTINATION)
        self._on_finished = on_finished
        self._pause = AdaptivePause(settings.min_pause_seconds, settings.max_pause_seconds)
        self._threads = Threads()
        self._event_loop: Coroutines = EventLoop() if tools.at_home is None else tools.at_home.loop
        self.crews = Crews(tools, self._threads, self._event_loop, self._finish)
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
        for claim in self.crews.adopt(types):
            self._judge([claim], SWITCHED_OFF)
        wait = self._claim(types)
        if wait == 0:
            self._pause.reset()
            return 0.0
        return min(self._pause.after_nothing(wait), self._seconds_until_care())

    def expect_work(self) -> None:
        """Look often again, for a commit was announced."""
        self._pause.reset()

    def is_working_here(self) -> bool:
        """Tell whether the caller is a handler at work, or something that it awaits."""
        return self._threads.is_current() or serves(self._event_loop)

    def drain(self, beat: Callable[[], None]) -> None:
        """Work until nothing is due and no handler is at work; ``beat`` is called between the rounds."""
        try:
            while self.step() == 0 or self.crews.are_busy or self._verdicts:
                beat()
                self._await_some()
        finally:
            self._threads.close()  # who drains may never stop it

    def close(self) -> None:
        """Give back what has not begun, let the handlers at work end, give back what does not; release everything."""
        try:
            self._wind_up()
        finally:
            self._verdicts.close()
            self._threads.close()
            self._event_loop.close()
            self._source.close()

    # -- claiming ----------------------------------------------------------------------------------------

    def _claim(self, types: dict[str, HandlerType]) -> float:
        """Claim and begin what there is room for; return 0, or the seconds until something else may be due."""
        enabled = [kind for kind in types.values() if kind.enabled]
        paces = {kind.name: self.crews.seconds_until_claim(kind) for kind in enabled if kind.interval_seconds}
        rooms = {kind.name: self.crews.room_of(kind) for kind in enabled if not paces.get(kind.name)}
        free = {name: room for name, room in rooms.items() if room > 0}
        next_pace = min(filter(None, paces.values()), default=LONG_SECONDS)
        if not free:
            return next_pace
        self._streams = False
        found = self._source.claim_due(free)
        self._renewal.take_in({claim.held_until for claim in found.claims}, among_others=self.crews.are_busy)
        self._streams = self.crews.receive(found.claims, free)
        self.crews.hand_out(types)
        return 0.0 if found.claims else min(found.look_in_seconds, next_pace)

    def _finish(self, attempt: Attempt, error: BaseException | None) -> None:
        """Take in, on the handler's thread, that it is done; wake the worker if it may have to claim more."""
        self._finished.append((attempt, error))
        if not self._is_told and self.crews.by_type[attempt.task_type.name].runs_low:
            self._is_told = True
            self._some_finished.set()
            self._on_finished()

    # -- looking after what is at work ---------------------------------------------------------------------

    def _wind_up(self) -> None:
        """Leave nothing at work and nothing unwritten; raises what the last attempt to write raises."""
        self._streams = False
        for claim in self.crews.untaken():
            self._verdicts.add([claim], NOT_TAKEN)
        for claim in self.crews.withdraw():
            self._judge([claim], GIVEN_BACK)
        for attempt in self.crews.at_work():
            attempt.cancel()
        until = time.monotonic() + self._settings.stop_timeout_seconds * _PART_OF_STOP
        while (self.crews.are_busy or self._verdicts) and time.monotonic() < until:
            self._await_some()
            try:
                self._tend()
            except Exception as error:  # noqa: BLE001 - the handlers at work may end well, and the database come back
                self._hooks.emit(StepFailed(DESTINATION, error, _PAUSE_IN_STOP_SECONDS))
                time.sleep(_PAUSE_IN_STOP_SECONDS)
        self._give_up(self.crews.at_work(), GIVEN_BACK)
        insist(lambda: self._verdicts.write(by_second=False))

    def _tend(self) -> None:
        for claim in self.crews.recover():
            self._verdicts.add([claim], NOT_TAKEN)
        self._take_in_finished()
        self._give_up_overdue()
        self._verdicts.write(by_second=self._streams)
        self._renew_if_due()

    def _take_in_finished(self) -> None:
        self._is_told = False
        succeeded, own_commits, fenced = list[Claim](), list[Claim](), 0
        try:
            while self._finished:
                attempt, error = self._finished.popleft()
                if attempt.is_settled:
                    self._take_in_settled(attempt, error, own_commits)
                elif attempt.is_over:
                    fenced += 1
                elif error is None:
                    succeeded.append(attempt.claim)
                else:
                    self._judge([attempt.claim], self._verdict_of(attempt, error))
        finally:
            self._judge(succeeded, SUCCEEDED)
        if own_commits:
            of_types = Counter(claim.task.task_type for claim in own_commits)
            self._events.of_all({Status.SUCCESS: len(own_commits)}, of_types, waits=waits_of(own_commits))
        self._events.of_fenced(fenced)

    def _take_in_settled(self, attempt: Attempt, error: BaseException | None, own_commits: list[Claim]) -> None:
        """Take in an attempt that its handler's own commit has settled; add its claim if nobody has told of it."""
        if attempt.claim.tell_done():
            own_commits.append(attempt.claim)
        if error is not None:
            task = attempt.claim.task
            self._hooks.emit(HandlerFailedLate(task.id, task.task_type, error))
        if not attempt.is_over:
            self.crews.judge(attempt.task_type.name)

    def _give_up_overdue(self) -> None:
        now = time.monotonic()
        for attempt in self.crews.at_work():
            if attempt.overdue_at <= now:
                self._give_up([attempt], self._verdict_of(attempt, _too_late(attempt)))

    def _give_up(self, attempts: Iterable[Attempt], verdict: Verdict) -> None:
        for attempt in attempts:
            self._judge([attempt.claim], verdict)  # first: the crew may find no hand for what waits
            self.crews.by_type[attempt.task_type.name].give_up(attempt)

    def _verdict_of(self, attempt: Attempt, error: BaseException) -> Verdict:
        """Say what becomes of a task after an attempt that raised; tell of one that failed."""
        claim = attempt.claim
        verdict = verdict_of(error, attempt.task_type, claim.attempt, claim.task.max_retries)
        tell_of_failure(self._hooks, attempt, error, verdict)
        return verdict

    def _judge(self, claims: Sequence[Claim], verdict: Verdict) -> None:
        """Let claims have a verdict, and their room be free: a batch at once, for most are alike."""
        for name, count in Counter(map(attrgetter("task.task_type"), claims)).items():
            self.crews.judge(name, count)
        self._verdicts.add(claims, verdict)

    def _renew_if_due(self) -> None:
        if not self.crews.are_busy or not self._renewal.begins():
            return
        at_work = [attempt for attempt in self.crews.at_work() if not attempt.is_settled]
        lost = self._source.renew([*(attempt.claim for attempt in at_work), *self.crews.waiting()])
        if lost is None:
            self._renewal.ask_again_in(_LOOK_SECONDS)
        else:
            self._renewal.end()
        for attempt in at_work:
            if lost and attempt.claim.task.id in lost:
                attempt.lose()
        self.crews.lose(lost or ())

    def _seconds_until_care(self) -> float:
        if self._verdicts or self.crews.waiting():
            return _LOOK_SECONDS
        if not self.crews.are_busy:
            return LONG_SECONDS
        overdue = [attempt.overdue_at for attempt in self.crews.at_work()]
        return max(0.001, min([self._renewal.due_at, *overdue]) - time.monotonic())

    def _await_some(self) -> None:
        self._some_finished.wait(_LOOK_SECONDS)
        self._some_finished.clear()


def _too_late(attempt: Attempt) -> TimeoutError:
    seconds = attempt.task_type.max_processing_time_seconds
    return TimeoutError(f"took longer than max_processing_time_seconds, {seconds:g}")
