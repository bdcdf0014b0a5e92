"""A worker's line to a task service, which writes what notes tell."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

import orjson

from asyncflow.errors import ServiceRefusedError, TaskServiceError, UnreachableError
from asyncflow.integrations.flowsvr.client.answers import NO_RESULT, Outcome
from asyncflow.integrations.flowsvr.client.client import TaskServiceClient
from asyncflow.scheduler.queues.notes import ClaimNote, Reached, read_note
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.verdict import OutcomeName

_LOG = logging.getLogger("asyncflow.flowsvr")
_UNAUTHORIZED = (401, 403)


class ServiceTelling:
    """Tell a task service what notes tell; one thread at a time uses it. Raises UnreachableError.

    What it has written is written: told again, it changes nothing, for each write asks for the claim's token.
    """

    def __init__(self, client: TaskServiceClient) -> None:
        self._client = client
        self._written: set[HeldClaim] = set()  # of what has to be told again as a whole

    def tell(self, notes: Sequence[bytes]) -> None:
        """Have the service write what the notes tell, in order; raises ClaimLostError for a stage of a lost claim."""
        try:
            for note in notes:
                self._tell(read_note(note))
        except TaskServiceError as error:
            raise UnreachableError(str(error)) from error
        self._written.clear()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _tell(self, note: ClaimNote) -> None:
        for one in note.reached if not note.outcomes else ():  # it was told before, and answered
            self._checkpoint(one, note.lease_seconds)
        told = {one.held for one in note.reached}
        renewed = [(held.id, held.token) for held in note.renewed if held not in told]
        if renewed:
            self._client.renew(renewed, lease_seconds=note.lease_seconds)
        self._settle([one for one in note.outcomes if one.held not in self._written])

    def _checkpoint(self, reached: Reached, lease_seconds: float) -> None:
        held, stage, context = reached
        value = None if context is None else orjson.loads(context)
        self._client.checkpoint(held.id, held.token, stage, value, lease_seconds=lease_seconds)

    def _settle(self, outcomes: Sequence[ClaimOutcome]) -> None:
        if not outcomes:
            return
        try:
            results = self._client.set([_outcome_of(one) for one in outcomes])
        except ServiceRefusedError as error:
            self._after_refusal(outcomes, error)
            return
        locked = {result.id for result in results if result.locked}
        self._written.update(one.held for one in outcomes if one.held.id not in locked)
        if locked:
            raise UnreachableError(f"somebody holds the locks of the rows of {len(locked)} tasks")

    def _after_refusal(self, outcomes: Sequence[ClaimOutcome], error: ServiceRefusedError) -> None:
        """Find the one outcome that the service will never take, so that it does not hold up the others."""
        if error.status in _UNAUTHORIZED:  # by a new token, perhaps, the service will
            raise error
        if len(outcomes) > 1:
            for outcome in outcomes:
                self._settle([outcome])
            return
        told = "the outcome of the task %s is not taken; it comes again when its claim has run out: %s"
        _LOG.error(told, outcomes[0].held.id, error)
        self._written.add(outcomes[0].held)


def _outcome_of(told: ClaimOutcome) -> Outcome:
    result = NO_RESULT if told.result is None else orjson.Fragment(told.result.text)
    name = cast(OutcomeName, told.name)
    return Outcome(told.held.id, told.held.token, name, told.delay_seconds, told.error or None, result)
