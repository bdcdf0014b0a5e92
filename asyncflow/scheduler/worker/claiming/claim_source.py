"""The seam between a worker and where its claims come from: the database, or a task service."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Connection

from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.verdict import Verdict

DESTINATION = "handlers"  # under which the events tell of what a worker does


class Written(NamedTuple):
    """Tell of one verdict on some claims how many rows it changed: fewer than all if claims were lost."""

    verdict: Verdict
    claims: Sequence[Claim]
    changed: int


class Found(NamedTuple):
    """Hold new claims; without any, ``look_in_seconds`` tells when something else may be due."""

    claims: Sequence[Claim]
    look_in_seconds: float


class ClaimSource(Protocol):
    """Give claims to one worker; its thread calls all but those that are a handler's: ``begin``,
    ``settle_in``, ``still_holds`` and ``checkpoint``.

    One that ``takes_second_writer`` is also called to ``settle`` on its thread, while the worker's claims or renews.

    What raises for a while, as the database or the service is away, is called again after a pause.
    """

    @property
    def takes_second_writer(self) -> bool:
        """Tell whether there is room for a second writer."""
        ...

    def claim_due(self, free: Mapping[str, int]) -> Found:
        """Claim due tasks, of each task type up to the number there is room for; their attempts count from here on."""
        ...

    def renew(self, claims: Collection[Claim]) -> set[UUID] | None:
        """Let the claims last for another lease; return the ids of the tasks whose claims are lost.

        None: it could not be asked, and is to be asked again soon.
        """
        ...

    def settle(self, judged: Sequence[tuple[Claim, Verdict]], *, by_second: bool) -> Sequence[Written]:
        """Write the verdicts; tell what each changed. Those it leaves out, or all if it raises, are given again."""
        ...

    def end_second_writer(self) -> None:
        """Give back what the second writer needs, until the next time; called while nothing is settled."""
        ...

    def begin(self, claim: Claim) -> None:
        """Write down that the work on a suspect begins, on the handler's thread; raises ClaimLostError."""
        ...

    def settle_in(self, connection: Connection, claim: Claim) -> None:
        """Mark the task SUCCESS in the handler's own transaction; raises ClaimLostError."""
        ...

    def still_holds(self, connection: Connection, claim: Claim) -> bool:
        """Tell whether the task is held under the claim's token, so is not settled; on the handler's thread."""
        ...

    def checkpoint(self, claim: Claim, stage: str, context: str | None) -> None:
        """Write how far the work has come, on any thread; raises ClaimLostError."""
        ...

    def close(self) -> None:
        """Give back what the source holds; no claim is used any more."""
        ...
