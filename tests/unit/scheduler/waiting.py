"""Bounded polling on a condition, for what gives no signal."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], timeout_seconds: float = 10.0) -> None:
    """Return as soon as ``condition`` holds; raises AssertionError after the time-out."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {timeout_seconds} s: {condition}"
        time.sleep(0.002)
