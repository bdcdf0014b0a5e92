"""The runner: gives a job its ticks, its items and its threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from asyncflow.errors import JobClockError, RowsLockedError
from asyncflow.events import JobFailedOver, JobStopped
from asyncflow.scheduler.jobs.board import WHOLE_SHARE, Place
from asyncflow.scheduler.jobs.marks import Marked, Marks
from asyncflow.scheduler.jobs.run import Assignment, Runs
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.threads import Threads

_LOOK_SECONDS = 0.5  # at the latest, at what this instance owns: from memory
_SWITCHES_SECONDS = 1.0  # between two readings of what is switched off, while something runs


class JobRunner:
    """Run one job in this instance; lives as long as its scheduler, which acquires the share and releases it.

    Its loop deals out batches, never more than one of an item at a time. A job of single items runs them on threads
    of its own, one that takes its whole share on the loop's thread.
    """

    def __init__(self, assignment: Assignment, at_end: Callable[[], None] = lambda: None) -> None:
        self.job = assignment.job
        self.settings = settings = assignment.job.settings
        self.share = assignment.share
        self.summons = summons = assignment.summons
        self.board = summons.board
        self.loop = Loop(summons.name, self.step, assignment.hooks, self._close, summons.latch)
        self._hooks = assignment.hooks
        self._marks = assignment.marks
        self._at_end = at_end
        self._clock = summons.clock
        self._runs = Runs(assignment)
        self._seen: dict[int, int] = {}
        self._new: list[Place] = []  # of which it was not read yet what they were owed
        self._threads = Threads(f"asyncflow-{summons.name}")
        self._free = threading.Semaphore(settings.thread_count)
        self._read_at = self._reconciled_at = self._clock()
        self._is_told = False

    def tick(self) -> None:
        """Let every item of this instance run that does not run already; takes microseconds."""
        self.summons.tick()

    def is_working_here(self) -> bool:
        """Tell whether the caller is on a thread of the job's own."""
        return self._threads.is_current()

    # -- the loop ----------------------------------------------------------------------------------------

    def step(self) -> float:
        """Look at what is owned, switched off and due, and deal it out; return when to look again."""
        if self._runs.thrown is not None:
            return self._give_up(self._runs.thrown)
        self._adopt()
        self._look_at_switches()
        self._take_owed()
        self._finish_in_hand()
        self._reconcile()
        self._runs.write_owed()
        self._deal_out()
        wait = self.board.seconds_until_due(self._clock())
        # What is due and waits for a thread is dealt out when one is free, which wakes the loop.
        return _LOOK_SECONDS if wait is None or (wait == 0 and self._runs.threaded) else min(wait, _LOOK_SECONDS)

    def drain(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Give every owned item one run, in this thread in place of the loop; call ``meanwhile`` between batches."""
        self.share.with_leases(self._adopt)
        self.tick()
        self._look_at_switches()
        while (place := self.board.take_due(self._clock())) is not None:
            self._runs.work(place)
            meanwhile()
            self._adopt()

    def _adopt(self) -> None:
        epochs = self.share.epochs()
        if self.job.takes_whole_share:
            self._adopt_whole(epochs)
            return
        self._new += self.board.adopt(epochs)
        if self._marks is None or not self.settings.monitor_execution:
            self._new.clear()
        elif self._new:
            marked = self._marks.read()
            while self._new:
                self._take_over(self._new[0], marked.get(self._new[0].item), self._marks)
                self._new.pop(0)

    def _adopt_whole(self, epochs: Mapping[int, int]) -> None:
        self.board.adopt({WHOLE_SHARE: 0} if epochs else {})
        if self.job.starts_at_once and epochs.items() - self._seen.items():
            # There may be work in what is new, which nobody has looked at for a while.
            self.board.wake(self._clock())
        self._seen = dict(epochs)

    def _finish_in_hand(self) -> None:
        """Let a job that holds its items by itself let go of the last ones: no further batch of it will."""
        if self.job.takes_whole_share and not self.board.has_work_to_give:
            self.job.finish_in_hand()

    def _take_over(self, place: Place, marked: Marked | None, marks: Marks) -> None:
        """Run at once what was running when its owner ended, or was owed a run."""
        if marked is None or marked.epoch != place.epoch or not (marked.running or marked.misfire):
            return
        if (marked.running and self.settings.failover) or (marked.misfire and self.settings.misfire):
            self._hooks.emit(JobFailedOver(self.job.name, place.item))
            self.board.owe(place, self._clock())
        else:
            with suppress(RowsLockedError):  # the next run, or the next owner, takes the marks away
                marks.write(place.item, place.epoch, running=False, misfire=False)

    def _take_owed(self) -> None:
        """Give one run to each item that somebody has marked as owed one."""
        owed = self.summons.take_owed()
        places = [one for one in self.board.places() if one.item in owed and not self.board.has_run_coming(one)]
        if not places or self._marks is None:
            return
        marked = self._marks.read()  # as it is now: what was seen may have begun since
        for place in places:
            mark = marked.get(place.item)
            if mark is not None and mark.misfire and mark.epoch == place.epoch:
                is_asked = self.board.ask(place, self._clock())
                if not (is_asked and self.settings.monitor_execution):  # else the run's beginning takes the mark away
                    self._marks.write(place.item, place.epoch, misfire=False)

    def _look_at_switches(self) -> None:
        """Learn what is switched off: with each tick, and now and then while something runs."""
        ticked = self.summons.ticked.is_set()
        due = self.board.is_at_work and self._clock() - self._read_at >= _SWITCHES_SECONDS
        if self._marks is None or not (ticked or due):
            return
        self.summons.ticked.clear()
        self._read_at = self._clock()
        try:
            self._disable(self._marks)
        except BaseException:
            if ticked:  # nothing begins by this tick before it is known what is switched off
                self.summons.ticked.set()
            raise
        if ticked:
            self._compare_clocks(self._marks)
            self._mark_misfires(self._marks)

    def _disable(self, marks: Marks) -> None:
        if marks.is_disabled():
            off = self.board.items()
        elif self.job.takes_whole_share:
            off = []
        else:
            off = [item for item, marked in marks.read().items() if marked.disabled]
        for place in self.board.disable(off):
            self._runs.end(place)

    def _compare_clocks(self, marks: Marks) -> None:
        most = self.settings.max_time_diff_seconds
        if most < 0 or (off := marks.seconds_off()) <= most:
            return
        error = JobClockError(
            f"this host's clock is {off:.3f} s from the database's; max_time_diff_seconds of {self.job.name!r} is "
            f"{most}: set the host's clock right"
        )
        self._runs.handle(self._runs.context(None, self.share.epochs()), None, error, 0.0)

    def _mark_misfires(self, marks: Marks) -> None:
        if self.settings.monitor_execution and self.settings.misfire:
            for place in self.board.places():
                if place.misfired:
                    with suppress(RowsLockedError):  # what the item does itself tells of it; the next tick marks anew
                        marks.write(place.item, place.epoch, misfire=True)

    def _reconcile(self) -> None:
        seconds = self.settings.reconcile_interval_minutes * 60
        if seconds and self._clock() - self._reconciled_at >= seconds:
            self._reconciled_at = self._clock()
            self.share.refresh()

    def _deal_out(self) -> None:
        if not self._runs.threaded:
            if (place := self.board.take_due(self._clock())) is not None:
                self._runs.work(place)
            return
        while self._free.acquire(blocking=False):
            place = self.board.take_due(self._clock())
            if place is None:
                self._free.release()
                return
            self._threads.run(partial(self._work_on_thread, place))

    def _work_on_thread(self, place: Place) -> None:
        try:
            self._runs.work(place)
        finally:
            self._free.release()
            self.loop.latch.wake()

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
