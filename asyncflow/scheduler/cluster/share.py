"""What one instance owns of one job, and which of it is at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, ItemsView, Iterator, Mapping
from types import TracebackType


class Share:
    """Hold what is owned, from a beat of the cluster to the next; thread-safe.

    Items that are ``leaving`` are kept from new holds, and are ``drained`` when the last old hold is released.
    What is owned counts only until the lease that was last renewed may have run out, by this process's own
    monotonic clock.
    """

    def __init__(self, drained: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._drained = drained
        self._clock = clock
        self._lock = threading.Lock()
        self._epochs: dict[int, int] = {}
        self._disabled: frozenset[int] = frozenset()
        self._ends: dict[int, float] = {}
        self._leaving: frozenset[int] = frozenset()
        self._holds: list[Hold] = []
        self._ends_at = 0.0

    def epochs(self) -> dict[int, int]:
        """Return what may be worked on now."""
        with self._lock:
            return self._usable()

    def hold(self) -> Hold:
        """Hold what may be worked on now."""
        with self._lock:
            hold = Hold(self._usable(), self._let_go, self._lasts)
            self._holds.append(hold)
            return hold

    def own(
        self, epochs: Mapping[int, int], disabled: Collection[int] = (), ends: Mapping[int, float] | None = None
    ) -> None:
        """Own exactly these from now on; ``disabled`` ones are owned and not worked on.

        ``ends``: when others may take some of them, if that is before the lease of all may have run out.
        """
        with self._lock:
            self._epochs, self._disabled, self._ends = dict(epochs), frozenset(disabled), dict(ends or {})
            self._leaving &= self._epochs.keys()

    def drop(self, items: Collection[int]) -> None:
        """Own these no more, and all others as before."""
        with self._lock:
            self._epochs = {item: epoch for item, epoch in self._epochs.items() if item not in items}
            self._leaving &= self._epochs.keys()

    def owned(self) -> dict[int, int]:
        """Return everything that is owned, whether it may be worked on or not."""
        with self._lock:
            return dict(self._epochs)

    def last_until(self, moment: float) -> None:
        """Let what is owned count until then, by the monotonic clock."""
        with self._lock:
            self._ends_at = moment

    def is_leased(self) -> bool:
        """Tell whether what is owned, if anything is, still counts."""
        with self._lock:
            return self._clock() < self._ends_at

    def drain(self, leaving: Collection[int]) -> set[int]:
        """Keep these, and no others, from new holds; return those that no hold has."""
        with self._lock:
            self._leaving = frozenset(leaving)
            held = {item for hold in self._holds for item in hold.epochs}
            return set(leaving) - held

    def _usable(self) -> dict[int, int]:
        now = self._clock()
        if now >= self._ends_at:
            return {}
        kept = self._leaving | self._disabled | self._lapsed(now)
        return {item: epoch for item, epoch in self._epochs.items() if item not in kept} if kept else dict(self._epochs)

    def _lasts(self, hold: Hold) -> bool:
        with self._lock:
            now = self._clock()
            is_owned = hold.epochs.items() <= self._epochs.items() and self._lapsed(now).isdisjoint(hold.epochs)
            return now < self._ends_at and is_owned

    def _lapsed(self, now: float) -> set[int]:
        """Return those that others may have taken by now."""
        return {item for item, end in self._ends.items() if end <= now}

    def _let_go(self, hold: Hold) -> None:
        with self._lock:
            self._holds = [one for one in self._holds if one is not hold]
            is_awaited = bool(self._leaving)
        if is_awaited:
            self._drained()


class Hold(Mapping[int, int]):
    """Keep items from being handed over, from its making to its release; used by one thread.

    A mapping of the items to the epochs in which they are owned.
    """

    def __init__(
        self,
        epochs: Mapping[int, int],
        released: Callable[[Hold], None],
        lasts: Callable[[Hold], bool] = lambda _: True,
    ) -> None:
        self.epochs: Mapping[int, int] = dict(epochs)  # replaced as a whole, for others look on
        self._released = released
        self._lasts = lasts

    @property
    def lasts(self) -> bool:
        """Tell whether the items are still owned in their epochs: if not, others may work on them by now."""
        return self._lasts(self)

    def __getitem__(self, item: int) -> int:
        return self.epochs[item]

    def __iter__(self) -> Iterator[int]:
        return iter(self.epochs)

    def __len__(self) -> int:
        return len(self.epochs)

    def __contains__(self, item: object) -> bool:
        return item in self.epochs

    def items(self) -> ItemsView[int, int]:
        """Return the items with their epochs, as they are now."""
        return self.epochs.items()

    def keep_only(self, items: Collection[int]) -> None:
        """Let the others go: so a slow destination does not hold up the hand-over of shards it has no rows of."""
        self.epochs = {item: epoch for item, epoch in self.epochs.items() if item in items}

    def release(self) -> None:
        """Let all items go; may be called twice."""
        self.epochs = {}
        self._released(self)

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
