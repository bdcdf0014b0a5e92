from __future__ import annotations

import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def own_time() -> Iterator[None]:
    """Let this process have the time of Berlin by a rule, as TZ may have it, and not by a name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()
