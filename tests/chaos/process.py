"""A real process under test, and what it told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.chaos.plan import Plan

CHECKOUT = Path(__file__).resolve().parents[2]
KILLED = -signal.SIGKILL
_END_SECONDS = 120.0
_LOOK_SECONDS = 0.2  # a condition may be of time, or of what the database tells, which no event announces


class ProcessUnderTest:
    """Run ``python -m ARGUMENTS`` by a plan, from construction until it ends or its ``with`` block does.

    ``events`` are the things it told, each with ``at``, the moment when we heard of it.
    """

    def __init__(self, arguments: Sequence[str], plan: Plan, environment: Mapping[str, str] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.ended_at: float | None = None
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            env={**plan.as_environment(), **(environment or {})},
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> ProcessUnderTest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return what it told of one kind, in order."""
        return [event for event in list(self.events) if event["kind"] == kind]

    def wait_for(self, condition: Callable[[], bool], *, timeout_seconds: float = 120.0) -> None:
        """Wait until the condition holds, looking at each event, at the end, and now and then while it says nothing."""
        until = time.monotonic() + timeout_seconds
        with self._changed:
            while not condition():
                assert self.ended_at is None or condition(), f"it ended too early, after {self.events[-5:]}"
                left = until - time.monotonic()
                assert left > 0, f"not within {timeout_seconds:g} s; it told {self.events[-5:]}"
                self._changed.wait(min(left, _LOOK_SECONDS))

    def wait_for_next_event(self, timeout_seconds: float) -> None:
        """Wait until anything more is told, or the time is over."""
        with self._changed:
            self._changed.wait(timeout_seconds)

    def wait_for_end(self) -> int:
        """Wait until it has ended by itself; return its exit code, the negative signal number if killed."""
        code = self._process.wait(_END_SECONDS)
        self._listener.join(_END_SECONDS)
        return code

    def kill(self) -> int:
        """End it by SIGKILL, unless it has ended; return its exit code."""
        self._process.kill()
        return self.wait_for_end()

    def stop(self) -> int:
        """Ask it to end, by SIGTERM; return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait_for_end()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def dismiss(self) -> int:
        """Let it finish, by closing its stdin; return its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.wait_for_end()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._hear({**json.loads(line), "at": time.monotonic()})
        with self._changed:
            self.ended_at = time.monotonic()
            self._changed.notify_all()

    def _hear(self, event: dict[str, Any]) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()
