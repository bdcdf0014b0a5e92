"""How long rows had been due when they were fetched: computed where somebody asks, from what their pages brought."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from asyncflow.computed import computed_once
from asyncflow.scheduler.heads.queries import Moments


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
                found.update(moments.by_id())
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
