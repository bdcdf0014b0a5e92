"""Outcomes that the database refuses, by a constraint or a trigger: dead letters in their place, which tell why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.dialects import DatabaseDialect
from asyncflow.scheduler.table.log_lines import short_error
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome, SettledClaim
from asyncflow.text import on_one_line

T = TypeVar("T")  # an outcome
S = TypeVar("S")  # what is told of one that was settled
_MOST_REFUSALS = 3  # of whole batches: what refuses a row may be gone the next time


@dataclass(frozen=True)
class Endings(Generic[T, S]):
    """Tell how an outcome that is refused ends: ``failed`` makes a dead letter of it, with why it is one.

    ``lost`` tells of one that is refused as a dead letter, too: its claim runs out. ``on_refused`` hears of each.
    """

    failed: Callable[[T, str], T]
    lost: Callable[[T], S]
    on_refused: Callable[[DBAPIError], None]


class RefusedOutcomes(Generic[T, S]):
    """Know when a batch is refused for some of its rows, and settle the others; lives as long as whoever settles.

    Of two threads that count at once one may count in vain.
    """

    def __init__(self, dialect: DatabaseDialect, endings: Endings[T, S]) -> None:
        self._dialect = dialect
        self._endings = endings
        self._count = 0

    def is_again(self, error: BaseException) -> bool:
        """Tell whether it is some of the rows that are refused, and not for the first time."""
        if not self._is_refusal(error):
            return False
        self._count += 1
        return self._count > _MOST_REFUSALS

    def settle_others(self, write: Callable[[Sequence[T]], list[S]], outcomes: Sequence[T]) -> list[S]:
        """Settle by halves, each in a transaction, so that a task whose outcome is refused holds up no other.

        Raises what else the database raises; some may be written by then.
        """
        try:
            return write(outcomes)
        except DBAPIError as error:
            self._require_refusal(error)
            if len(outcomes) == 1:
                return self._end(write, outcomes[0], error)
        half = len(outcomes) // 2
        return self.settle_others(write, outcomes[:half]) + self.settle_others(write, outcomes[half:])

    def instead(self, outcome: T, error: DBAPIError) -> T:
        """Return what is to be written instead: a dead letter, for the task would be done again and again.

        Raises the error if it refuses no row.
        """
        self._require_refusal(error)
        self._endings.on_refused(error)
        return self._endings.failed(
            outcome, short_error(f"the database refused to write its outcome: {on_one_line(error.orig)}")
        )

    def lost(self, outcome: T, error: DBAPIError) -> S:
        """Tell of one that was refused as a dead letter, too; raises the error if it refuses no row."""
        self._require_refusal(error)
        return self._endings.lost(outcome)

    def _end(self, write: Callable[[Sequence[T]], list[S]], outcome: T, error: DBAPIError) -> list[S]:
        instead = self.instead(outcome, error)
        try:
            return write([instead])
        except DBAPIError as again:
            return [self.lost(outcome, again)]

    def _require_refusal(self, error: DBAPIError) -> None:
        if not self._is_refusal(error):
            raise error

    def _is_refusal(self, error: BaseException) -> bool:
        return isinstance(error, DBAPIError) and self._dialect.is_refusal(error)


def refused_claims(on_refused: Callable[[DBAPIError], None]) -> Endings[ClaimOutcome, SettledClaim]:
    """Return how claims of workers elsewhere end whose outcomes are refused."""
    return Endings(
        lambda outcome, why: ClaimOutcome(outcome.held, "failed", error=why),
        lambda outcome: SettledClaim(outcome.held, None),
        on_refused,
    )
