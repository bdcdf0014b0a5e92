"""The runs of a job: begun, carried on batch by batch, and ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any

from asyncflow.errors import RowsLockedError
from asyncflow.events import Hooks, JobFailed, JobFenced, JobItemFinished, StepFailed
from asyncflow.leash import Leash
from asyncflow.scheduler.cluster.item_parameters import item_parameters
from asyncflow.scheduler.cluster.ownership import Ownership
from asyncflow.scheduler.jobs.board import WHOLE_SHARE, Place
from asyncflow.scheduler.jobs.context import Context, ShardingContext, ShareContext
from asyncflow.scheduler.jobs.error_handlers import IGNORE, LOG, THROW, error_handler_of
from asyncflow.scheduler.jobs.job import Job
from asyncflow.scheduler.jobs.listeners import listeners_of
from asyncflow.scheduler.jobs.marks import Marks
from asyncflow.scheduler.jobs.summons import Summons

_FIRST_PAUSE_SECONDS = 0.1  # of a stream whose batch failed; doubles
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class Assignment:
    """Hold a job with the share of its items that is the instance's, what calls it, and what marks its items."""

    job: Job
    share: Ownership
    summons: Summons
    hooks: Hooks
    marks: Marks | None = None


class Runs:
    """Do the batches of one job's items; lives as long as its runner. A place is worked on by one thread at a time.

    ``thrown`` is the error that ends the job here, of one whose error handler says so.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.thrown: BaseException | None = None
        self._name = assignment.summons.name
        self._job = assignment.job
        self._settings = settings = assignment.job.settings
        self._share = assignment.share
        self._board = assignment.summons.board
        self._clock = assignment.summons.clock
        self._hooks = assignment.hooks
        self._marks = assignment.marks if settings.monitor_execution else None
        self._parameters = item_parameters(settings.sharding_item_parameters, settings.sharding_total_count)
        self._listeners = listeners_of(settings.listeners)
        self._handler = error_handler_of(settings.error_handler)
        self._numbers = count(1)
        self._contexts: dict[int, Context] = {}
        self._owed: set[Place] = set()  # marks of runs that ended, and could not be written

    @property
    def threaded(self) -> bool:
        """Tell whether items run on threads of their own, rather than all on the loop's."""
        return not self._job.takes_whole_share

    def work(self, place: Place) -> None:
        """Do one batch of a place, unless another instance has it."""
        try:
            with self._held() as epochs:
                if not self._is_mine(place, epochs):
                    self._board.put_off(place, self._clock())
                elif self._begin(place, epochs):
                    self._batch(place)
                else:
                    self._board.finish(place, self._clock())
        except BaseException as error:
            # The place is free again, whatever it was.
            pause = self._pause_after(place) if self.threaded else 0.0
            self._board.go_on(place, self._clock(), pause, failed=True)
            if not self.threaded:
                raise  # the loop tells it, and pauses
            self._hooks.emit(StepFailed(self._name, error, pause))

    def _held(self) -> AbstractContextManager[Mapping[int, int]]:
        return nullcontext(self._share.epochs()) if self._job.holds_its_items else self._share.in_use()

    def _is_mine(self, place: Place, epochs: Mapping[int, int]) -> bool:
        return bool(epochs) if place.item == WHOLE_SHARE else epochs.get(place.item) == place.epoch

    def _begin(self, place: Place, epochs: Mapping[int, int]) -> bool:
        """Begin a run, unless it has begun; return False if the database knows another owner."""
        if place.item in self._contexts and place.batches > 1:  # else it is that of a run which another instance ended
            return True
        if not self._write_marks(place, running=True, misfire=False):
            return False
        self._board.mark(place)
        place.batches = 1
        own = epochs if place.item == WHOLE_SHARE else {place.item: place.epoch}
        self._contexts[place.item] = self.context(None if place.item == WHOLE_SHARE else place.item, own)
        return True

    def _batch(self, place: Place) -> None:
        context = self._contexts[place.item]
        try:
            if place.batches == 1:
                for listener in self._listeners:
                    with Leash():
                        listener.before(context)
            with Leash():
                more = self._job.run_batch(context)
        except BaseException as error:  # noqa: BLE001 - the job's code may raise what it likes, SystemExit too
            self._failed(place, context, error)
            return
        if more and self._goes_on(place):
            self._board.go_on(place, self._clock())
        else:
            self.end(place)
            pause = self._job.seconds_until_next_fetch() if self._settings.streaming_process and not more else None
            self._board.finish(place, self._clock(), pause)

    def _goes_on(self, place: Place) -> bool:
        return self._settings.streaming_process and self.thrown is None and not self._board.is_disabled(place)

    def _failed(self, place: Place, context: Context, error: BaseException) -> None:
        """Let a stream go on after a pause: one batch's fault is not the end of all that come after it."""
        if not self.threaded and self._handler == LOG:
            raise error
        goes_on = self._goes_on(place)
        pause = self._pause_after(place) if goes_on else 0.0
        self.handle(context, None if place.item == WHOLE_SHARE else place.item, error, pause)
        if goes_on and self.thrown is None:
            self._board.go_on(place, self._clock(), pause, failed=True)
        else:
            self.end(place)
            self._board.finish(place, self._clock())

    def _pause_after(self, place: Place) -> float:
        pause: float = _FIRST_PAUSE_SECONDS * 2 ** min(place.failures, 10)
        return min(pause, _LONGEST_PAUSE_SECONDS)

    def end(self, place: Place) -> None:
        """Call the listeners, unmark the item and tell."""
        if (context := self._contexts.pop(place.item, None)) is not None:
            self._tell_listeners(place, context)
        self._unmark(place)
        if self.threaded or place.batches > 1:  # a look of the relay that found nothing is no news
            item = None if place.item == WHOLE_SHARE else place.item
            self._hooks.emit(JobItemFinished(self._job.name, item, place.batches, self._clock() - place.began_at))

    def _tell_listeners(self, place: Place, context: Context) -> None:
        for listener in reversed(self._listeners):
            try:
                with Leash():
                    listener.after(context)
            except Exception as error:  # noqa: BLE001 - one listener's fault must not keep the next from its call
                self.handle(context, place.item, error, 0.0)

    def _unmark(self, place: Place) -> None:
        """Mark the item as at rest; what cannot be written now is, later: the run has ended all the same."""
        try:
            self._write_marks(place, running=False)
        except Exception as error:  # noqa: BLE001 - not the job's: it must not run once more for this
            self._owed.add(place)
            self._hooks.emit(StepFailed(self._name, error, 0.0))

    def write_owed(self) -> None:
        """Mark items as at rest whose runs ended while the database was away, unless they run again."""
        for place in list(self._owed):
            if not place.at_work and place in self._board.places():
                try:
                    self._write_marks(place, running=False)
                except RowsLockedError:
                    continue  # told when the run ended; the other items are not to wait for it
            self._owed.discard(place)

    def _write_marks(self, place: Place, **marks: bool) -> bool:
        if self._marks is None:
            return True
        if self._marks.write(place.item, place.epoch, **marks):
            return True
        self._hooks.emit(JobFenced(self._job.name, place.item))
        self._share.refresh()
        return False

    def context(self, item: int | None, epochs: Mapping[int, int]) -> Context:
        """Return what the job's code is told of a run of an item, or with None of all of them."""
        items = ",".join(map(str, sorted(epochs)))
        common: dict[str, Any] = {
            "job_name": self._job.name,
            "task_id": f"{self._job.name}@-@{items}@-@{self._share.owner}@-@{next(self._numbers)}",
            "sharding_total_count": self._settings.sharding_total_count,
            "job_parameter": self._settings.job_parameter,
            "epochs": dict(epochs),
        }
        if item is None:
            return ShareContext(**common)
        parameter = self._parameters.get(item, "")
        return ShardingContext(**common, sharding_item=item, sharding_parameter=parameter)

    # -- errors ------------------------------------------------------------------------------------------

    def handle(self, context: Context, item: int | None, error: BaseException, pause: float) -> None:
        """Let the error handler judge an error of the job's code, after which it rests for ``pause`` seconds."""
        if callable(self._handler):
            try:
                with Leash():
                    self._handler(context, error)
            except Exception as fault:  # noqa: BLE001 - told like the error of a job, for that is what it is
                self._tell(item, fault, pause)
        elif self._handler != IGNORE:
            self._tell(item, error, pause)
        if self._handler == THROW:
            self.thrown = error

    def _tell(self, item: int | None, error: BaseException, pause: float) -> None:
        self._hooks.emit(JobFailed(self._job.name, item, error, pause))
