"""Claims that nobody here will use: given back at once, their attempts unspent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar
from uuid import UUID

from asyncflow.errors import ServiceAwayError, ServiceRefusedError, TaskServiceError
from asyncflow.events import Hooks, SettleFenced, StepFailed, TasksSettled
from asyncflow.integrations.flowsvr.client.answers import Outcome, Settled
from asyncflow.integrations.flowsvr.client.backoff import Backoff
from asyncflow.integrations.flowsvr.client.client import TaskServiceClient

T = TypeVar("T")
UNREADABLE = "given back: the worker could not read the answer that brought it"
STOPPING = "given back: the worker stops"


class Returns:
    """Give claims back and tell of it; any thread uses it. ``destination`` is under which the events tell of it."""

    def __init__(self, client: TaskServiceClient, hooks: Hooks, destination: str) -> None:
        self._client = client
        self._hooks = hooks
        self._destination = destination

    def give_back(self, claims: Sequence[tuple[UUID, UUID]], why: str) -> None:
        """Give back pairs of id and token; insist as long as a request may take. Raises nothing, and tells what fails.

        What cannot be given back stays claimed until its claim runs out.
        """
        settings = self._client.settings
        until = time.monotonic() + settings.request_timeout_seconds
        outcomes = [Outcome(*claim, "given_back", None, why) for claim in claims]
        for batch in batches(outcomes, settings.settle_batch):
            self._tell(batch, until)

    def _tell(self, outcomes: Sequence[Outcome], until: float) -> None:
        began = time.perf_counter()
        try:
            settled = sum(one.settled for one in self._insist(outcomes, until))
        except ServiceRefusedError as error:
            self._after_refusal(outcomes, until, error)
        except Exception as error:  # noqa: BLE001 - told; nobody could do more about it
            self._tell_failure(outcomes, error)
        else:
            self._hooks.emit(TasksSettled(self._destination, 0, settled, 0, time.perf_counter() - began))
            if settled < len(outcomes):
                self._hooks.emit(SettleFenced(self._destination, len(outcomes) - settled))

    def _insist(self, outcomes: Sequence[Outcome], until: float) -> Sequence[Settled]:
        settings = self._client.settings
        backoff = Backoff(settings.min_backoff_seconds, settings.max_backoff_seconds)
        while True:
            try:
                return self._client.set(outcomes)
            except ServiceAwayError as error:
                pause = backoff.after(error)
                if time.monotonic() + pause > until:
                    raise
            time.sleep(pause)

    def _after_refusal(self, outcomes: Sequence[Outcome], until: float, error: ServiceRefusedError) -> None:
        """Do not let the one that is refused hold up the others."""
        if len(outcomes) == 1:
            return self._tell_failure(outcomes, error)
        for outcome in outcomes:
            self._tell([outcome], until)
        return None

    def _tell_failure(self, outcomes: Sequence[Outcome], error: Exception) -> None:
        told = TaskServiceError(
            f"{len(outcomes)} tasks could not be given back, such as {outcomes[0].id}; they stay claimed until their "
            f"claims run out: {type(error).__name__}: {error}"
        )
        told.__cause__ = error
        self._hooks.emit(StepFailed("task-service", told, 0.0))


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut into batches of a size."""
    for first in range(0, len(items), size):
        yield items[first : first + size]
