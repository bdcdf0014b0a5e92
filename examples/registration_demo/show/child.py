"""One process of the show and its log."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from examples.registration_demo.show.errors import ShowError

CHECKOUT = Path(__file__).resolve().parents[3]
LOOK_EVERY_SECONDS = 0.02
ANSWER_SECONDS = 60.0
STOP_SECONDS = 5.0
LAST_LINES = 6

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Child:
    """Run a program from construction to ``end``; on Linux it does not outlive the conductor in any case."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.is_wanted = True
        self._log = log
        with log.open("ab") as output:
            self._begins_at = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=CHECKOUT,
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is the conductor's to handle
                preexec_fn=_end_with_the_parent,
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def has_died(self) -> bool:
        """Tell whether it ended without being asked to."""
        return self.is_wanted and self._process.poll() is not None

    def fate(self) -> str:
        """Tell how it ended, if it has."""
        code = self._process.poll()
        if code is None:
            return "still running"
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    async def answer(self, pattern: str) -> str:
        """Wait until its log holds ``pattern``; return its first group, or all of it."""
        for _ in range(int(ANSWER_SECONDS / LOOK_EVERY_SECONDS)):
            found = re.search(pattern, self.words())
            if found:
                return found[found.re.groups and 1]
            if self.has_died:
                raise ShowError(f"{self.name} ended while it started ({self.fate()})")
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        raise ShowError(f"{self.name} was not ready within {ANSWER_SECONDS:.0f} s")

    def words(self) -> str:
        """Return what it has logged."""
        with self._log.open("rb") as log:
            log.seek(self._begins_at)
            return log.read().decode(errors="replace")

    def last_words(self) -> str:
        """Return the end of what it has logged."""
        lines = self.words().splitlines()[-LAST_LINES:]
        return "\n".join(lines) or "(nothing)"

    def freeze(self) -> None:
        """Stop it by SIGSTOP, at whatever instruction it is."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it by SIGKILL, frozen or not."""
        self.is_wanted = False
        self._process.kill()
        self._process.wait()

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        self.is_wanted = False
        self._process.terminate()

    def end(self) -> None:
        """Wait for its end after ``ask_to_end``, not for long, and kill it then."""
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


def _end_with_the_parent() -> None:
    """Have the kernel kill this process when the conductor is killed itself and can end nobody."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
