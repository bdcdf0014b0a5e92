"""A program that we started, known by its pid and by the moment of its birth.

A pid alone is no identity: once ours has ended, another program may be given it. Linux's /proc tells when a
process was born, so a pid is signalled only while it is still the program that we started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.services.command import group_of
from tools.services.errors import CannotServeError

PROC = Path("/proc")
POLL_SECONDS = 0.05
STOP_DEADLINE_SECONDS = 30.0
KILL_DEADLINE_SECONDS = 10.0

# The shell ends at once, and init adopts the program: as the child of a test run it would be a zombie once it
# was killed. Its output goes to the log by way of stderr, because stdout carries the pid.
_DETACH = '"$@" 1>&2 & echo $!'


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start a program, as which account (None: the caller's), and which signal shuts it down well."""

    command: Sequence[str]
    account: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass(frozen=True, kw_only=True)
class Process:
    """A started program; `born` tells it from a later program with the same pid."""

    pid: int
    born: str
    stop_signal: int = signal.SIGTERM

    @property
    def is_alive(self) -> bool:
        """Tell whether this very program still runs; a zombie does not."""
        return _born(self.pid) == self.born

    def stop(self) -> None:
        """Have the program shut down; kill it if it has not done so in time."""
        self._send(self.stop_signal)
        if not wait_until(lambda: not self.is_alive, STOP_DEADLINE_SECONDS):
            self.kill()

    def kill(self) -> None:
        """End the program and all that it started by SIGKILL, as a power cut would."""
        family = [self, *_descendants(self.pid)] if self.is_alive else []
        for member in family:
            member._send(signal.SIGKILL)
        wait_until(lambda: not any(member.is_alive for member in family), KILL_DEADLINE_SECONDS)

    def _send(self, number: int) -> None:
        """Signal the program if it is still the one we mean."""
        if self.is_alive:
            os.kill(self.pid, number)


def spawn(launch: Launch, *, log: Path, directory: Path) -> Process | None:
    """Start a program in the background, in a session of its own; None if it ended at once.

    It writes to `log`; what an earlier start wrote there is kept beside it.
    """
    if not PROC.joinpath("self/stat").exists():
        raise CannotServeError("processes are told apart by Linux's /proc, which this machine lacks")
    if log.exists():
        log.replace(log.with_suffix(".log.before"))
    with log.open("wb") as output:
        shell = subprocess.run(
            ["sh", "-c", _DETACH, "sh", *launch.command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd=directory,
            start_new_session=True,
            user=launch.account,
            group=group_of(launch.account),
        )
    pid = int(shell.stdout)
    born = _born(pid)
    return Process(pid=pid, born=born, stop_signal=launch.stop_signal) if born else None


def is_running(pid: int) -> bool:
    """Tell whether any program runs under a pid; a zombie does not."""
    return _born(pid) is not None


def wait_until(condition: Callable[[], bool], deadline_seconds: float) -> bool:
    """Poll a condition until it holds or the time is over; tell whether it held."""
    end = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on, the process's state; none if it is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()  # the second field is the program's name, which may hold anything


def _born(pid: int) -> str | None:
    """Return what tells this process from any other with its pid: the boot, and the tick of its start."""
    fields = _stat(pid)
    if not fields or _has_ended(fields[0], threads=int(fields[17])):
        return None
    boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{fields[19]}"


def _has_ended(state: str, *, threads: int) -> bool:
    """Tell whether a process is a zombie to the last of its threads.

    The first thread of a JVM that was killed is a zombie while the others still hold the port.
    """
    return state in "ZX" and threads <= 1


def _descendants(pid: int) -> Iterator[Process]:
    """Yield the processes below one, found by parent: PostgreSQL's workers leave its process group."""
    for entry in PROC.glob("[0-9]*"):
        child = int(entry.name)
        fields, born = _stat(child), _born(child)
        if born and fields and int(fields[1]) == pid:
            yield Process(pid=child, born=born)
            yield from _descendants(child)
