"""Which items of a job run, wait or rest: the bookkeeping of one runner, without threads and without a database."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass

WHOLE_SHARE = -1  # the one place of a job that takes all its items at once


@dataclass(slots=True, eq=False)
class Place:
    """Hold the state of one item in one epoch, or of the whole share."""

    item: int
    epoch: int
    due_at: float | None = None  # when its next batch may begin; None: at the next tick
    turn: int = 0  # among those that are due
    busy: bool = False  # a batch is in hand
    begun: bool = False  # a run has begun and is not finished
    is_marked: bool = False  # the table tells so: what it owed the item before is this run
    misfired: bool = False  # ticks came during the run: one further run follows
    batches: int = 0  # of the run
    failures: int = 0  # in succession
    began_at: float = 0.0

    @property
    def at_work(self) -> bool:
        """Tell whether a tick would come too early."""
        return self.busy or self.begun


class Board:
    """Keep the places of a runner; the metronome's thread, the loop and its workers all write here.

    What is due longest goes first, and a place that has done a batch goes to the end: no full item starves another.
    A place whose lease lapses for a moment comes back as it was, with the ticks of that moment: in the same epoch
    nobody else has had it.
    """

    def __init__(self, *, latches_misfires: bool) -> None:
        self._latches_misfires = latches_misfires
        self._lock = threading.Lock()
        self._places: dict[int, Place] = {}
        self._absent: dict[int, Place] = {}
        self._disabled: frozenset[int] = frozenset()
        self._turns = 0
        self.ticks = self.misfired = self.coalesced = self.dropped = 0

    def adopt(self, epochs: Mapping[int, int]) -> list[Place]:
        """Have places for these items in these epochs, and no others; return those that are new."""
        with self._lock:
            for item in [item for item, place in self._places.items() if epochs.get(item) != place.epoch]:
                self._absent[item] = self._places.pop(item)
            came = [self._come(item, epoch) for item, epoch in sorted(epochs.items()) if item not in self._places]
            return [place for place, is_new in came if is_new]

    def tick(self, now: float) -> bool:
        """Let what rests be due, and latch a further run of what is at work; return whether one was newly latched."""
        with self._lock:
            self.ticks += 1
            working = [place for place in self._places.values() if place.at_work]
            for place in self._enabled():
                if not place.at_work:
                    self._queue(place, now)
            for place in self._absent.values():
                if place.at_work:
                    place.misfired = self._latches_misfires
                else:
                    self._queue(place, now)
            return self._latch(working)

    def wake(self, now: float) -> None:
        """Let what rests be due, and what is at work look once more; what has failed waits on."""
        with self._lock:
            for place in self._enabled():
                if place.busy:
                    place.misfired = True
                elif not place.begun and place.failures == 0:
                    self._queue(place, now)

    def owe(self, place: Place, now: float) -> None:
        """Let a place be due at once."""
        with self._lock:
            self._queue(place, now)

    def has_run_coming(self, place: Place) -> bool:
        """Tell whether a run begins by itself, at once or behind the one at work, or is about to be marked as begun."""
        with self._lock:
            return place.misfired or (not place.is_marked if place.at_work else place.due_at is not None)

    def mark(self, place: Place) -> None:
        """Know that the table tells of the run."""
        with self._lock:
            place.is_marked = True

    def ask(self, place: Place, now: float) -> bool:
        """Let a place have one run more, after that at work; return False if it is at work, and none is latched."""
        with self._lock:
            if not place.at_work:
                self._queue(place, now)
                return True
            place.misfired = self._latches_misfires
            return self._latches_misfires

    def take_due(self, now: float) -> Place | None:
        """Return the place whose turn it is, for one batch; None if nothing is due."""
        with self._lock:
            due = [p for p in self._enabled() if not p.busy and p.due_at is not None and p.due_at <= now]
            if not due:
                return None
            place = min(due, key=lambda candidate: (candidate.due_at, candidate.turn))
            place.busy = True
            if not place.begun:
                place.begun, place.misfired, place.batches, place.began_at = True, False, 0, now
                place.is_marked = False
            place.batches += 1
            return place

    def go_on(self, place: Place, now: float, pause_seconds: float = 0.0, *, failed: bool = False) -> None:
        """Let the run have a further batch, behind the others."""
        with self._lock:
            place.busy = False
            place.failures = place.failures + 1 if failed else 0
            self._queue(place, now + pause_seconds)

    def put_off(self, place: Place, now: float) -> None:
        """Take back a batch that did not begin, for the place lapsed: it is due again if the place comes back."""
        with self._lock:
            place.busy = False
            place.batches -= 1
            place.begun = place.batches > 0
            self._queue(place, now)

    def finish(self, place: Place, now: float, pause_seconds: float | None = None) -> None:
        """End the run; a latched misfire gives exactly one further one, else rest for the pause or until a tick."""
        with self._lock:
            place.busy = place.begun = False
            place.failures = 0
            place.due_at = None
            if place.misfired:
                self._queue(place, now)
            elif pause_seconds is not None:
                self._queue(place, now + pause_seconds)

    def disable(self, items: Collection[int]) -> list[Place]:
        """Keep these items, and no others, from being due; return the places whose runs end by it.

        A run with a batch in hand ends after that.
        """
        with self._lock:
            self._disabled = frozenset(items)
            known = (*self._places.values(), *self._absent.values())
            off = [place for place in known if place.item in self._disabled]
            ended = [place for place in off if place.begun and not place.busy]
            for place in off:
                place.due_at, place.misfired = None, False
                place.begun = place.busy
            return ended

    def is_disabled(self, place: Place) -> bool:
        """Tell whether a run may not go on."""
        return place.item in self._disabled

    def seconds_until_due(self, now: float) -> float | None:
        """Return how soon something is due that is not in hand; None if nothing is."""
        with self._lock:
            waits = [p.due_at - now for p in self._enabled() if not p.busy and p.due_at is not None]
            return max(0.0, min(waits)) if waits else None

    def items(self) -> list[int]:
        """Return the items of all places, and of those that may come back."""
        with self._lock:
            return [*self._places, *self._absent]

    def places(self) -> list[Place]:
        """Return all places, in order of their items."""
        with self._lock:
            return sorted(self._places.values(), key=lambda place: place.item)

    @property
    def has_work_to_give(self) -> bool:
        """Tell whether there is any place that may have a batch, now or later."""
        with self._lock:
            return bool(self._enabled())

    @property
    def is_at_work(self) -> bool:
        """Tell whether any run has begun and is not finished."""
        with self._lock:
            return any(place.at_work for place in self._places.values())

    def _come(self, item: int, epoch: int) -> tuple[Place, bool]:
        """Have a place for an item, the one that it had in this epoch if there is one; tell whether it is new."""
        absent = self._absent.pop(item, None)
        is_new = absent is None or absent.epoch != epoch
        place = self._places[item] = Place(item, epoch) if absent is None or is_new else absent
        return place, is_new

    def _enabled(self) -> list[Place]:
        return [place for place in self._places.values() if place.item not in self._disabled]

    def _queue(self, place: Place, due_at: float) -> None:
        self._turns += 1
        place.due_at, place.turn = due_at, self._turns

    def _latch(self, working: list[Place]) -> bool:
        if not working:
            return False
        if not self._latches_misfires:
            self.dropped += 1
            return False
        fresh = [place for place in working if not place.misfired]
        for place in fresh:
            place.misfired = True
        if fresh:
            self.misfired += 1
        else:
            self.coalesced += 1
        return bool(fresh)
