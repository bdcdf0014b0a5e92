"""An outage: a process that stands still for a while."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def stopped(pid: int, at_most_seconds: float) -> Iterator[None]:
    """Stop a process by SIGSTOP, and let it go on at the end.

    A shell of its own lets it go on in any case, should this process be killed meanwhile.
    """
    script = ["sh", "-c", 'sleep "$1"; kill -CONT "$2"', "sh", str(at_most_seconds), str(pid)]
    guard = subprocess.Popen(script, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()
