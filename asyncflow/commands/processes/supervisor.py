"""Several processes of one command on one machine: begun, begun again when one dies, and stopped together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncflow.commands.processes.sibling import Sibling
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.errors import OptionError

MOST_PROCESSES = 256
_LOG = logging.getLogger("asyncflow.processes")
_LOOK_SECONDS = 0.1
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_LIVES_SECONDS = 10.0  # who has run for so long has come up: its end is no fault of its command
_LEFT_BEHIND, _FAILED = 3, 1


@dataclass(slots=True)
class _Child:
    """Hold one process, and when it may be begun again."""

    sibling: Sibling
    process: subprocess.Popen[bytes] | None = None
    began_at: float = 0.0
    begin_at: float = 0.0
    pause_seconds: float = _FIRST_PAUSE_SECONDS
    code: int = 0


class Supervisor:
    """Keep ``count`` processes of one command running, each an instance of its own; used by the main thread.

    Each is begun anew, by Python, and not forked. Its session is its own, so that Ctrl-C reaches the supervisor alone;
    it ends when the supervisor does, however that ends. ``told`` says of each where it is to be found.
    """

    def __init__(
        self,
        count: int,
        arguments: Sequence[str],
        told: Callable[[Sibling], str] = lambda _: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 2 <= count <= MOST_PROCESSES:
            raise OptionError(f"--processes is {count}; give 2 to {MOST_PROCESSES}, or leave it out for one")
        self._command = [sys.executable, "-m", "asyncflow.cli", *arguments]
        self._told = told
        self._clock = clock
        self._children = [_Child(Sibling(number, count)) for number in range(count)]
        self._leash, self._end = os.pipe()  # whose other end is closed when this process is gone
        self._have_come_up = False

    def run(self, signals: StopSignals) -> int:
        """Run until the first signal; return the exit code: 0, or 3 if one had to leave work behind.

        If a process fails before any has come up, all are stopped, and its code is returned: it is the command that is
        at fault.
        """
        try:
            while not signals.is_heard:
                for child in self._children:
                    self._look_after(child)
                failed = self._failed_command()
                if failed is not None:
                    self._stop_all()
                    return failed
                time.sleep(_LOOK_SECONDS)
            return self._stop_all()
        finally:
            os.close(self._end)
            os.close(self._leash)

    def _look_after(self, child: _Child) -> None:
        now = self._clock()
        if child.process is None:
            if now >= child.begin_at:
                self._begin(child)
            return
        code = child.process.poll()
        lived = now - child.began_at
        self._have_come_up |= lived >= _LIVES_SECONDS
        if code is None:
            return
        child.process, child.code = None, code
        child.pause_seconds = _FIRST_PAUSE_SECONDS if lived >= _LONGEST_PAUSE_SECONDS else child.pause_seconds
        text = "Process %s ended with %s after %.0f s; it is begun again in %.0f s"
        _LOG.warning(text, child.sibling, _ending(code), lived, self._rest(child))

    def _rest(self, child: _Child) -> float:
        """Let it be begun after its pause, which is returned; the next one is longer."""
        pause = child.pause_seconds
        child.begin_at = self._clock() + pause
        child.pause_seconds = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return pause

    def _begin(self, child: _Child) -> None:
        environment = {**os.environ, **child.sibling.environment(self._leash)}
        options: dict[str, Any] = {"pass_fds": [self._leash], "start_new_session": True, "stdin": subprocess.DEVNULL}
        try:
            child.process = subprocess.Popen(self._command, env=environment, **options)
        except OSError as error:  # no memory or no process to be had for the moment: the others go on
            child.code = _FAILED
            text = "Process %s cannot be begun: %s; it is tried again in %.0f s"
            _LOG.warning(text, child.sibling, error, self._rest(child))
            return
        child.began_at, child.code = self._clock(), 0
        _LOG.info("Process %s runs, pid %d%s", child.sibling, child.process.pid, self._told(child.sibling))

    def _failed_command(self) -> int | None:
        if self._have_come_up:
            return None
        return next((child.code for child in self._children if child.process is None and child.code > 0), None)

    def _stop_all(self) -> int:
        """Ask all to stop, and wait: each has a limit of its own for the work in hand."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        codes = {process.wait() for process in running}
        if _LEFT_BEHIND in codes:
            return _LEFT_BEHIND
        # One that was begun a moment ago, and hears no signal yet, has nothing to finish.
        return _FAILED if codes - {0, -signal.SIGTERM} else 0


def _ending(code: int) -> str:
    return f"code {code}" if code >= 0 else f"signal {-code}"
