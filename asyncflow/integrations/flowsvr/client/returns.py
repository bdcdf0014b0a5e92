"""Claims that nobody here will use: given back at once or for later, their attempts unspent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import TypeVar
from uuid import UUID

from asyncflow.errors import ServiceAwayError, ServiceRefusedError, TaskServiceError
from asyncflow.events import Hooks, SettleFenced, StepFailed, TasksSettled
from asyncflow.integrations.flowsvr.client.answers import Outcome, Settled
from asyncflow.integrations.flowsvr.client.backoff import Backoff
from asyncflow.integrations.flowsvr.client.client import TaskServiceClient
from asyncflow.integrations.flowsvr.client.pauses import Pauses

T = TypeVar("T")
UNREADABLE = "given back: the worker could not read the answer that brought it"
STOPPING = "given back: the worker stops"


class Returns:
    """Give claims back and tell of it; any thread uses it. ``destination`` is under which the events tell of it."""

    def __init__(self, client: TaskServiceClient, hooks: Hooks, destination: str) -> None:
        self._client = client
        self._hooks = hooks
        self._destination = destination
        self._lock = Lock()
        self._put_off = Pauses(client.settings.min_backoff_seconds, client.settings.max_backoff_seconds)

    def give_back(self, claims: Sequence[tuple[UUID, UUID]], why: str) -> None:
        """Give back pairs of id and token; insist as long as a request may take. Raises nothing, and tells what fails.

        What cannot be given back stays claimed until its claim runs out.
        """
        self._give([Outcome(*claim, "given_back", None, why) for claim in claims])

    def put_off(self, claims: Sequence[tuple[UUID, UUID]], why: str) -> None:
        """Do as ``give_back``, but let each be due again after a pause, which doubles while it comes here again.

        What nobody here can read would be held and given back as fast as the service answers.
        """
        with self._lock:
            outcomes = [Outcome(*claim, "given_back", self._put_off.begin(claim[0]), why) for claim in claims]
        self._give(outcomes)

    def _give(self, outcomes: Sequence[Outcome]) -> None:
        settings = self._client.settings
        until = time.monotonic() + settings.request_timeout_seconds
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
        left, settled = outcomes, list[Settled]()
        while True:
            try:
                results = self._client.set(left)
                settled += (one for one in results if not one.locked)
                locked = {one.id for one in results if one.locked}
                left = [outcome for outcome in left if outcome.id in locked]
                if not left:
                    return settled
                raise ServiceAwayError(f"somebody holds the locks of the rows of {len(left)} tasks")
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
