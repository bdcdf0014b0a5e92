"""What a process under test tells its parent: a line of JSON for each thing that happened."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

_STDOUT = 1


def tell(kind: str, **values: object) -> None:
    """Write one line, whole and at once: a SIGKILL right afterwards takes nothing of it back."""
    os.write(_STDOUT, json.dumps({"kind": kind, **values}).encode() + b"\n")


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def freeze() -> None:
    """Stop this process until somebody sends it SIGCONT, as a long pause of its machine would."""
    # Sent to this thread, which then goes no further; to the process, it would wait for the main thread to wake up.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def wait_for_parent_to_leave() -> None:
    """Return once the parent has closed our stdin, as its end does too."""
    sys.stdin.read()


def die_with_parent() -> None:
    """End this process soon after its parent's end, so that nothing outlives a test run that was killed."""

    def watch() -> None:
        wait_for_parent_to_leave()
        die()

    threading.Thread(target=watch, daemon=True).start()
