"""What one scheduler has counted since its start, for a person or a metrics endpoint to read at any time."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from asyncflow.events import (
    Event,
    ForksNothing,
    SettleFenced,
    ShardsHandedOver,
    TaskFailed,
    TaskRetried,
    TasksSettled,
)
from asyncflow.scheduler.jobs.board import Board


@dataclass(frozen=True, slots=True)
class Counters:
    """Hold counts since the scheduler was made, and the state of each circuit breaker.

    ``ticks`` came from the metronome to the relays; ``misfired`` of them met a relay at work, ``coalesced`` met one for
    which a further run was due already. ``fenced`` settles changed nothing. ``handed_over`` shards went to another
    instance in good order. ``breakers`` maps ``destination`` and ``destination/topic`` to their states.
    """

    ticks: int
    misfired: int
    coalesced: int
    succeeded: int
    retried: int
    failed: int
    fenced: int
    handed_over: int
    breakers: Mapping[str, str]


_COUNTS = tuple(field.name for field in fields(Counters) if field.name != "breakers")
_COUNTED = (TasksSettled, TaskRetried, TaskFailed, SettleFenced, ShardsHandedOver)


class Tally(ForksNothing):
    """Be the hook that counts; events come on the threads of all relays, of the worker and of the cluster."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin at nothing, with a lock that nobody holds: in the child of a fork a thread of the parent may."""
        self._lock = threading.Lock()
        self.succeeded = self.retried = self.failed = self.fenced = self.handed_over = 0

    def takes(self, kind: type[Event]) -> bool:
        """Tell whether it counts events of a kind."""
        return kind in _COUNTED

    def __call__(self, event: Event) -> None:
        """Count one event."""
        match event:
            case TasksSettled():
                self._add("succeeded", event.succeeded)
            case TaskRetried():
                self._add("retried", 1)
            case TaskFailed():
                self._add("failed", 1)
            case SettleFenced():
                self._add("fenced", event.tasks)
            case ShardsHandedOver():
                self._add("handed_over", len(event.shards))
            case _:
                pass

    def _add(self, name: str, count: int) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + count)

    def counters(self, boards: Iterable[Board], breakers: Mapping[str, str]) -> Counters:
        """Return what was counted until now."""
        boards = list(boards)
        return Counters(
            ticks=sum(board.ticks for board in boards),
            misfired=sum(board.misfired for board in boards),
            coalesced=sum(board.coalesced for board in boards),
            succeeded=self.succeeded,
            retried=self.retried,
            failed=self.failed,
            fenced=self.fenced,
            handed_over=self.handed_over,
            breakers=breakers,
        )


def counted(apart: Iterable[Counters]) -> Counters:
    """Return what several counted together."""
    every = list(apart)
    if len(every) == 1:
        return every[0]
    breakers = {name: state for one in every for name, state in one.breakers.items()}
    sums: dict[str, Any] = {name: sum(getattr(one, name) for one in every) for name in _COUNTS}
    return Counters(**sums, breakers=breakers)
