"""Bounded polling on a condition, for what gives no signal."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], timeout_seconds: float = 120.0) -> None:
    """Return as soon as ``condition`` holds; raises AssertionError after the time-out.

    What takes long to ask is asked less often: a test that polls must not starve what it waits for.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        asked_at = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < deadline, f"still not so after {timeout_seconds} s: {condition}"
        time.sleep(max(0.002, 4 * (now - asked_at)))
