"""Options of task types that several tests give, as types that a checker follows into ``outbox.task(**options)``."""

from __future__ import annotations

from typing import TypedDict


class RetryTimes(TypedDict):
    """How long a failed task waits."""

    retry_interval_seconds: float
    max_retry_interval_seconds: float


class Retries(RetryTimes):
    """How long it waits, and how often."""

    max_retries: int
