"""How long leases last, and how often instances look at each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rhythm:
    """Hold both, in seconds, and this process's clock."""

    lease_seconds: float
    heartbeat_seconds: float
    clock: Callable[[], float] = time.monotonic
