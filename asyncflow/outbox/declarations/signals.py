"""What a handler raises to say how its task goes on; any other exception is a failed attempt."""

from __future__ import annotations

from asyncflow.outbox.clock import MAX_DELAY_SECONDS


class HandlerSignal(Exception):  # noqa: N818 - it tells the worker what to do, and is no fault
    """Be the base of what a handler may raise on purpose."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = str(reason)


class RetryTask(HandlerSignal):
    """Say that this attempt failed; ``delay_seconds`` replaces the policy's interval."""

    def __init__(self, reason: str = "", *, delay_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.delay_seconds = None if delay_seconds is None else _bounded(delay_seconds)


class NotDone(HandlerSignal):
    """Say that the work goes on elsewhere: come back in ``delay_seconds``. No attempt is spent."""

    def __init__(self, delay_seconds: float = 1.0, reason: str = "") -> None:
        super().__init__(reason)
        self.delay_seconds = _bounded(delay_seconds)


class RejectTask(HandlerSignal):
    """Say that no attempt will ever succeed: the task becomes a dead letter at once."""


class CancelTask(HandlerSignal):
    """Say that the work is not wanted any more: the task becomes CANCELLED."""


def _bounded(delay_seconds: float) -> float:
    if not 0 <= delay_seconds <= MAX_DELAY_SECONDS:
        raise ValueError(f"delay_seconds is {delay_seconds!r}; give seconds from 0 to {MAX_DELAY_SECONDS:.0f}")
    return float(delay_seconds)
