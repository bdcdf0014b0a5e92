"""How long rows had been due when they were fetched: computed where somebody asks, from what their pages brought."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

from asyncflow.computed import computed_once
from asyncflow.scheduler.heads.queries import Moments


class WaitSpread(NamedTuple):
    """Tell of some waits how many there are, how many last no longer than each of some bounds, and their sum."""

    number: int
    within: list[int]
    seconds: float


class DueMoments:
    """Know when the rows of some pages were due, and the time at which they were read; belongs to one round.

    Both are the database's. It holds ids and times, and no payload: whoever keeps an event keeps it, too.
    """

    def __init__(self, moments: Iterable[Moments], now: float | None, earlier: DueMoments | None = None) -> None:
        self._moments = tuple(moments)
        self._now = now  # in seconds since 1970; None: not known yet
        self._earlier = earlier  # what was read of the round before; these rows may be among it

    def seconds_of(self, raw_ids: Iterable[Any]) -> list[float]:
        """Return how long each of the rows had been due; those that came with no page are left out."""
        if self._read_at is None:
            return []
        now = round(self._read_at * 1e6)
        seconds = [(now - moment) / 1e6 for moment in map(self._by_id.get, raw_ids) if moment is not None]
        if min(seconds, default=0.0) < 0:
            return [max(0.0, one) for one in seconds]
        return seconds

    def spread_of(self, raw_ids: Iterable[Any], bounds: Sequence[float]) -> WaitSpread:
        """Tell how the waits of rows, as ``seconds_of`` returns them, spread over bounds in seconds.

        It is asked for each row that is settled, so no wait is made a number of its own.
        """
        if self._read_at is None:
            return WaitSpread(0, [0] * len(bounds), 0.0)
        now, by_id = round(self._read_at * 1e6), self._by_id
        moments = sorted([by_id[raw_id] for raw_id in raw_ids if raw_id in by_id])
        if moments and moments[-1] > now:
            moments = [min(now, moment) for moment in moments]
        count = len(moments)
        within = [count - bisect_left(moments, now - round(bound * 1e6)) for bound in bounds]
        return WaitSpread(count, within, (count * now - sum(moments)) / 1e6)

    def of(self, raw_id: Any) -> float | None:
        """Return how long one row had been due; None if that is not known."""
        return next(iter(self.seconds_of([raw_id])), None)

    @property
    def _read_at(self) -> float | None:
        """Return the time from which all of them are counted: of the last pages of which it is known."""
        return self._earlier._read_at if self._now is None and self._earlier is not None else self._now

    @computed_once
    def _by_id(self) -> Mapping[Any, int]:
        found: dict[Any, int] = {}
        if self._now is not None:
            for moments in self._moments:
                found.update(moments.with_ids())
        earlier = self._earlier
        if earlier is not None and self._read_at is not None and earlier._read_at is not None:
            # As if they had been due later by as much as they were read earlier.
            later = round((self._read_at - earlier._read_at) * 1e6)
            found.update({raw_id: moment + later for raw_id, moment in earlier._by_id.items()})
        return found


class Waits(Sequence[float]):
    """Hold how long each of some tasks had been due when it was fetched; for who never asks, nothing is computed."""

    def __init__(self, *rounds: tuple[DueMoments, Sequence[Any]]) -> None:
        self._rounds = rounds  # in which they were fetched, and their raw ids

    @computed_once
    def _seconds(self) -> list[float]:
        return [seconds for due_times, raw_ids in self._rounds for seconds in due_times.seconds_of(raw_ids)]

    def spread(self, bounds: Sequence[float]) -> WaitSpread:
        """Tell how they spread over bounds, in seconds."""
        each = [due_times.spread_of(raw_ids, bounds) for due_times, raw_ids in self._rounds]
        within = [sum(counts) for counts in zip(*(one.within for one in each), strict=True)]
        return WaitSpread(
            sum(one.number for one in each), within or [0] * len(bounds), sum(one.seconds for one in each)
        )

    def __len__(self) -> int:
        return len(self._seconds)

    def __iter__(self) -> Iterator[float]:
        return iter(self._seconds)

    @overload
    def __getitem__(self, place: int) -> float: ...
    @overload
    def __getitem__(self, place: slice) -> list[float]: ...
    def __getitem__(self, place: int | slice) -> float | list[float]:
        return self._seconds[place]

    def __repr__(self) -> str:
        return f"{len(self)} of {max(self, default=0.0):.3f} at most"
