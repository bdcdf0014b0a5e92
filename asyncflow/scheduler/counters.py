"""What one scheduler has counted since its start, for a person or a metrics endpoint to read at any time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from asyncflow.events import Event, SettleFenced, ShardsHandedOver, TaskFailed, TaskRetried, TasksSettled
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


class Tally:
    """Be the hook that counts; events come on several threads, each kind of a destination on one."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin at nothing."""
        self.succeeded = self.retried = self.failed = self.fenced = self.handed_over = 0

    def __call__(self, event: Event) -> None:
        """Count one event."""
        match event:
            case TasksSettled():
                self.succeeded += event.succeeded
            case TaskRetried():
                self.retried += 1
            case TaskFailed():
                self.failed += 1
            case SettleFenced():
                self.fenced += event.tasks
            case ShardsHandedOver():
                self.handed_over += len(event.shards)
            case _:
                pass

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
