"""The subscribers of a consumer: what one message does to them, and what is to become of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from asyncflow.consuming.attempts import AttemptCounts, MessageT
from asyncflow.consuming.effects import Effects, id_of
from asyncflow.consuming.own_commits import FailedLateError
from asyncflow.consuming.received import AnyReceived
from asyncflow.consuming.subscription import Subscription, key_of_message
from asyncflow.errors import InvalidArgumentsError
from asyncflow.events import AttemptFailed, HandlerFailedLate, Hooks, StepFailed, UntakenMessageSeen
from asyncflow.outbox import Status
from asyncflow.scheduler.worker.verdict import Verdict, verdict_of

LOOP = "consumer"
_MOST_TOLD = 1000  # producers name the types


class Again(NamedTuple):
    """Say how long to wait before another attempt; ``is_trouble``: as the database gave trouble, at no one's cost."""

    seconds: float
    is_trouble: bool = False


class Subscribers:
    """Let messages take their effects, and judge what subscribers raise; used by one thread.

    ``pause_seconds`` returns how long to wait after the database gave trouble, which costs no attempt.
    """

    def __init__(
        self, effects: Effects, subscriptions: Sequence[Subscription], hooks: Hooks, pause_seconds: Callable[[], float]
    ) -> None:
        self._effects = effects
        self._subscriptions = subscriptions
        self._hooks = hooks
        self._pause_seconds = pause_seconds
        self._untaken: set[tuple[str, str]] = set()  # that were told of

    def deliver(self, message: MessageT, attempts: AttemptCounts[MessageT]) -> Again | None:
        """Let a message take all its effects; return the pause before another attempt, None if all is done."""
        takers = [one for one in self._subscriptions if one.takes(message)]
        if not takers:
            self._tell_of_untaken(message)
        for subscription in takers:
            pause = self._attempt(subscription, message, attempts)
            if pause is not None:
                return pause
        return None

    def _tell_of_untaken(self, message: AnyReceived) -> None:
        """Tell once of each type and topic: it may be meant so, or a subscriber's name of a type may be wrong."""
        which = (message.task_type, message.topic)
        if which not in self._untaken and len(self._untaken) < _MOST_TOLD:
            self._untaken.add(which)
            self._hooks.emit(UntakenMessageSeen(*which))

    def _attempt(
        self, subscription: Subscription, message: MessageT, attempts: AttemptCounts[MessageT]
    ) -> Again | None:
        number = attempts.begin(message, subscription.name)
        try:
            self._effects.deliver(subscription, message, number)
        except FailedLateError as late:
            self._hooks.emit(HandlerFailedLate(id_of(message), subscription.kind.name, late.__cause__ or late))
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - judged
            if self._effects.is_trouble(error):
                return self._refund(subscription, message, attempts, error)
            verdict = _verdict_of(error, subscription, number)
            if not verdict.is_spent:
                attempts.refund(message, subscription.name)
            elif verdict.status is not Status.CANCELLED:
                self._hooks.emit(_failed(subscription, message, (number, error), verdict))
            if verdict.status is Status.PENDING:
                return Again(verdict.delay_seconds)
            return self._bury(subscription, message, attempts, verdict)
        return None

    def _bury(
        self, subscription: Subscription, message: MessageT, attempts: AttemptCounts[MessageT], verdict: Verdict
    ) -> Again | None:
        try:
            try:
                self._effects.bury(subscription, message, verdict)
            except Exception as error:
                if self._effects.is_trouble(error):
                    raise
                # Of what the message carries along, something may be what no row can keep, however long it waits.
                self._effects.bury(subscription, message, verdict, is_least=True)
        except Exception as trouble:  # noqa: BLE001 - the database may be there again after a pause
            return self._refund(subscription, message, attempts, trouble)
        return None

    def _refund(
        self, subscription: Subscription, message: MessageT, attempts: AttemptCounts[MessageT], trouble: BaseException
    ) -> Again:
        """Tell of trouble that is the database's, and let the attempt not count; return the pause."""
        attempts.refund(message, subscription.name)
        seconds = self._pause_seconds()
        self._hooks.emit(StepFailed(LOOP, trouble, seconds))
        return Again(seconds, is_trouble=True)


def _verdict_of(error: BaseException, subscription: Subscription, number: int) -> Verdict:
    """Judge an attempt as a worker would; a message that does not fit will never fit."""
    kind = subscription.kind
    most = 0 if isinstance(error, InvalidArgumentsError) else kind.max_retries
    return verdict_of(error, kind, number, most)


def _failed(
    subscription: Subscription, message: AnyReceived, failed: tuple[int, BaseException], verdict: Verdict
) -> AttemptFailed:
    (number, error), kind = failed, subscription.kind
    delay = verdict.delay_seconds if verdict.status is Status.PENDING else None
    return AttemptFailed(id_of(message), kind.name, key_of_message(message), number, kind.max_retries + 1, delay, error)
