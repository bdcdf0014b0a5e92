"""The runner: gives a job its ticks, its items and its threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import count
from typing import Any

from asyncflow.errors import JobClockError
from asyncflow.events import (
    Hooks,
    JobFailed,
    JobFailedOver,
    JobFenced,
    JobItemFinished,
    JobStopped,
    StepFailed,
    TickMisfired,
)
from asyncflow.leash import Leash
from asyncflow.scheduler.cluster.ownership import Ownership
from asyncflow.scheduler.jobs.board import WHOLE_SHARE, Board, Place
from asyncflow.scheduler.jobs.context import Context, ShardingContext, ShareContext
from asyncflow.scheduler.jobs.error_handlers import IGNORE, LOG, THROW, error_handler_of
from asyncflow.scheduler.jobs.item_parameters import item_parameters
from asyncflow.scheduler.jobs.job import Job
from asyncflow.scheduler.jobs.listeners import listeners_of
from asyncflow.scheduler.jobs.marks import Marked, Marks
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.threads import Threads

_LOOK_SECONDS = 0.5  # at the latest, at what this instance owns: from memory
_SWITCHES_SECONDS = 1.0  # between two readings of what is switched off, while something runs
_FIRST_PAUSE_SECONDS = 0.1  # of a stream whose batch failed; doubles
_LONGEST_PAUSE_SECONDS = 5.0


class JobRunner:
    """Run one job in this instance; lives as long as its scheduler, which acquires the share and releases it.

    Its loop deals out batches, never more than one of an item at a time. A job of single items runs them on threads
    of its own, one that takes its whole share on the loop's thread.
    """

    def __init__(
        self,
        job: Job,
        share: Ownership,
        hooks: Hooks,
        marks: Marks | None = None,
        *,
        name: str | None = None,
        at_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self.settings = settings = job.settings
        self.share = share
        self.board = Board(latches_misfires=settings.misfire)
        self.loop = Loop(name or f"job-{job.name}", self.step, hooks, self._close)
        self._hooks = hooks
        self._marks = marks
        self._at_end = at_end
        self._clock = clock
        self._parameters = item_parameters(settings.sharding_item_parameters, settings.sharding_total_count)
        self._listeners = listeners_of(settings.listeners)
        self._handler = error_handler_of(settings.error_handler)
        self._runs = count(1)
        self._contexts: dict[int, Context] = {}
        self._owed: set[Place] = set()  # marks of runs that ended, and could not be written
        self._seen: dict[int, int] = {}
        self._threads = Threads(f"asyncflow-{self.loop.name}")
        self._free = threading.Semaphore(settings.thread_count)
        self._ticked = threading.Event()
        self._read_at = self._reconciled_at = clock()
        self._thrown: BaseException | None = None
        self._is_told = False

    # -- called by the metronome and by commits ----------------------------------------------------------

    def tick(self) -> None:
        """Let every item of this instance run that does not run already; takes microseconds."""
        if self.board.tick(self._clock()):
            self._hooks.emit(TickMisfired(self.loop.name))
        self._ticked.set()
        self.loop.latch.wake()

    def wake(self) -> None:
        """Let what rests look at once, without counting a tick."""
        self.board.wake(self._clock())
        self.loop.latch.wake()

    # -- the loop ----------------------------------------------------------------------------------------

    def step(self) -> float:
        """Look at what is owned, switched off and due, and deal it out; return when to look again."""
        if self._thrown is not None:
            return self._give_up(self._thrown)
        self._adopt()
        self._look_at_switches()
        self._reconcile()
        self._write_owed()
        self._deal_out()
        wait = self.board.seconds_until_due(self._clock())
        # What is due and waits for a thread is dealt out when one is free, which wakes the loop.
        return _LOOK_SECONDS if wait is None or (wait == 0 and self._threaded) else min(wait, _LOOK_SECONDS)

    def drain(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Give every owned item one run, in this thread in place of the loop; call ``meanwhile`` between batches."""
        self._adopt()
        self.tick()
        self._look_at_switches()
        while (place := self.board.take_due(self._clock())) is not None:
            self._work(place)
            meanwhile()

    @property
    def _threaded(self) -> bool:
        return not self.job.takes_whole_share

    def _adopt(self) -> None:
        epochs = self.share.epochs()
        if self.job.takes_whole_share:
            self._adopt_whole(epochs)
            return
        new = self.board.adopt(epochs).new
        if new and self._marks is not None and self.settings.monitor_execution:
            marked = self._marks.read()
            for place in new:
                self._take_over(place, marked.get(place.item), self._marks)

    def _adopt_whole(self, epochs: Mapping[int, int]) -> None:
        self.board.adopt({WHOLE_SHARE: 0} if epochs else {})
        if self.job.starts_at_once and epochs.items() - self._seen.items():
            # There may be work in what is new, which nobody has looked at for a while.
            self.board.wake(self._clock())
        self._seen = dict(epochs)

    def _take_over(self, place: Place, marked: Marked | None, marks: Marks) -> None:
        """Run at once what was running when its owner ended, or was owed a run."""
        if marked is None or marked.epoch != place.epoch or not (marked.running or marked.misfire):
            return
        if (marked.running and self.settings.failover) or (marked.misfire and self.settings.misfire):
            self._hooks.emit(JobFailedOver(self.job.name, place.item))
            self.board.owe(place, self._clock())
        else:
            marks.write(place.item, place.epoch, running=False, misfire=False)

    def _look_at_switches(self) -> None:
        """Learn what is switched off: with each tick, and now and then while something runs."""
        ticked = self._ticked.is_set()
        due = self.board.is_at_work and self._clock() - self._read_at >= _SWITCHES_SECONDS
        if self._marks is None or not (ticked or due):
            return
        self._ticked.clear()
        self._read_at = self._clock()
        self._disable(self._marks)
        if ticked:
            self._compare_clocks(self._marks)
            self._mark_misfires(self._marks)

    def _disable(self, marks: Marks) -> None:
        if marks.is_disabled():
            off = [place.item for place in self.board.places()]
        elif self.job.takes_whole_share:
            off = []
        else:
            off = [item for item, marked in marks.read().items() if marked.disabled]
        for place in self.board.disable(off):
            self._end_run(place)

    def _compare_clocks(self, marks: Marks) -> None:
        most = self.settings.max_time_diff_seconds
        if most < 0 or (off := marks.seconds_off()) <= most:
            return
        error = JobClockError(
            f"this host's clock is {off:.3f} s from the database's; max_time_diff_seconds of {self.job.name!r} is "
            f"{most}: set the host's clock right"
        )
        self._handle(self._context(None, self.share.epochs()), None, error, 0.0)

    def _mark_misfires(self, marks: Marks) -> None:
        if self.settings.monitor_execution and self.settings.misfire:
            for place in self.board.places():
                if place.misfired:
                    marks.write(place.item, place.epoch, misfire=True)

    def _reconcile(self) -> None:
        seconds = self.settings.reconcile_interval_minutes * 60
        if seconds and self._clock() - self._reconciled_at >= seconds:
            self._reconciled_at = self._clock()
            self.share.refresh()

    def _deal_out(self) -> None:
        if not self._threaded:
            if (place := self.board.take_due(self._clock())) is not None:
                self._work(place)
            return
        while self._free.acquire(blocking=False):
            place = self.board.take_due(self._clock())
            if place is None:
                self._free.release()
                return
            self._threads.run(partial(self._work_on_thread, place))

    # -- a batch -----------------------------------------------------------------------------------------

    def _work_on_thread(self, place: Place) -> None:
        try:
            self._work(place)
        finally:
            self._free.release()
            self.loop.latch.wake()

    def _work(self, place: Place) -> None:
        """Do one batch of a place, unless another instance has it."""
        try:
            with self._held() as epochs:
                if self._is_mine(place, epochs) and self._begin(place, epochs):
                    self._batch(place)
                else:
                    self.board.finish(place, self._clock())
        except BaseException as error:
            # The place is free again, whatever it was.
            pause = self._pause_after(place) if self._threaded else 0.0
            self.board.go_on(place, self._clock(), pause, failed=True)
            if not self._threaded:
                raise  # the loop tells it, and pauses
            self._hooks.emit(StepFailed(self.loop.name, error, pause))

    def _held(self) -> AbstractContextManager[Mapping[int, int]]:
        return nullcontext(self.share.epochs()) if self.job.holds_its_items else self.share.in_use()

    def _is_mine(self, place: Place, epochs: Mapping[int, int]) -> bool:
        return bool(epochs) if place.item == WHOLE_SHARE else epochs.get(place.item) == place.epoch

    def _begin(self, place: Place, epochs: Mapping[int, int]) -> bool:
        """Begin a run, unless it has begun; return False if the database knows another owner."""
        if place.item in self._contexts:
            return True
        if not self._write_marks(place, running=True, misfire=False):
            return False
        place.batches = 1
        own = epochs if place.item == WHOLE_SHARE else {place.item: place.epoch}
        self._contexts[place.item] = self._context(None if place.item == WHOLE_SHARE else place.item, own)
        return True

    def _batch(self, place: Place) -> None:
        context = self._contexts[place.item]
        try:
            if place.batches == 1:
                for listener in self._listeners:
                    with Leash():
                        listener.before(context)
            with Leash():
                more = self.job.run_batch(context)
        except BaseException as error:  # noqa: BLE001 - the job's code may raise what it likes, SystemExit too
            self._failed(place, context, error)
            return
        if more and self._goes_on(place):
            self.board.go_on(place, self._clock())
        else:
            self._end_run(place)
            pause = self.job.seconds_until_next_fetch() if self.settings.streaming_process and not more else None
            self.board.finish(place, self._clock(), pause)

    def _goes_on(self, place: Place) -> bool:
        return self.settings.streaming_process and self._thrown is None and not self.board.is_disabled(place)

    def _failed(self, place: Place, context: Context, error: BaseException) -> None:
        """Let a stream go on after a pause: one batch's fault is not the end of all that come after it."""
        if not self._threaded and self._handler == LOG:
            raise error
        goes_on = self._goes_on(place)
        pause = self._pause_after(place) if goes_on else 0.0
        self._handle(context, None if place.item == WHOLE_SHARE else place.item, error, pause)
        if goes_on and self._thrown is None:
            self.board.go_on(place, self._clock(), pause, failed=True)
        else:
            self._end_run(place)
            self.board.finish(place, self._clock())

    def _pause_after(self, place: Place) -> float:
        pause: float = _FIRST_PAUSE_SECONDS * 2 ** min(place.failures, 10)
        return min(pause, _LONGEST_PAUSE_SECONDS)

    def _end_run(self, place: Place) -> None:
        """Call the listeners, unmark the item and tell."""
        context = self._contexts.pop(place.item, None)
        for listener in reversed(self._listeners) if context is not None else ():
            try:
                with Leash():
                    listener.after(context)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - one listener's fault must not keep the next from its call
                self._handle(context, place.item, error, 0.0)  # type: ignore[arg-type]
        self._unmark(place)
        if self._threaded or place.batches > 1:  # a look of the relay that found nothing is no news
            item = None if place.item == WHOLE_SHARE else place.item
            self._hooks.emit(JobItemFinished(self.job.name, item, place.batches, self._clock() - place.began_at))

    def _unmark(self, place: Place) -> None:
        """Mark the item as at rest; what cannot be written now is, later: the run has ended all the same."""
        try:
            self._write_marks(place, running=False)
        except Exception as error:  # noqa: BLE001 - not the job's: it must not run once more for this
            self._owed.add(place)
            self._hooks.emit(StepFailed(self.loop.name, error, 0.0))

    def _write_owed(self) -> None:
        """Mark items as at rest whose runs ended while the database was away, unless they run again."""
        for place in list(self._owed):
            if not place.at_work and place in self.board.places():
                self._write_marks(place, running=False)
            self._owed.discard(place)

    def _write_marks(self, place: Place, **marks: bool) -> bool:
        if self._marks is None or not self.settings.monitor_execution:
            return True
        if self._marks.write(place.item, place.epoch, **marks):
            return True
        self._hooks.emit(JobFenced(self.job.name, place.item))
        self.share.refresh()
        return False

    def _context(self, item: int | None, epochs: Mapping[int, int]) -> Context:
        items = ",".join(map(str, sorted(epochs)))
        common: dict[str, Any] = {
            "job_name": self.job.name,
            "task_id": f"{self.job.name}@-@{items}@-@{self.share.owner}@-@{next(self._runs)}",
            "sharding_total_count": self.settings.sharding_total_count,
            "job_parameter": self.settings.job_parameter,
            "epochs": dict(epochs),
        }
        if item is None:
            return ShareContext(**common)
        parameter = self._parameters.get(item, "")
        return ShardingContext(**common, sharding_item=item, sharding_parameter=parameter)

    # -- errors ------------------------------------------------------------------------------------------

    def _handle(self, context: Context, item: int | None, error: BaseException, pause: float) -> None:
        if callable(self._handler):
            try:
                with Leash():
                    self._handler(context, error)
            except Exception as fault:  # noqa: BLE001 - told like the error of a job, for that is what it is
                self._tell(item, fault, pause)
        elif self._handler != IGNORE:
            self._tell(item, error, pause)
        if self._handler == THROW:
            self._thrown = error

    def _tell(self, item: int | None, error: BaseException, pause: float) -> None:
        self._hooks.emit(JobFailed(self.job.name, item, error, pause))

    def _give_up(self, error: BaseException) -> float:
        """Give the items back once the last batch has ended."""
        if not self._is_told and not any(place.busy for place in self.board.places()):
            self._is_told = True
            self.share.release()
            self._hooks.emit(JobStopped(self.job.name, error))
        return _LOOK_SECONDS

    def _close(self) -> None:
        """Wait for the batches in hand, then give everything back."""
        for _ in range(self.settings.thread_count):
            self._free.acquire()
        self._threads.close()
        if self._marks is not None:
            self._marks.close()
        self._at_end()
