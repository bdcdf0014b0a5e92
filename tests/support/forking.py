"""Children of the process of a test."""

from __future__ import annotations

import os
import pickle
import select
import time
import traceback
from collections.abc import Callable
from typing import Any

LONG = 150.0


class Child:
    """Run ``work`` in a child that is forked now; ``result`` gives back what it returned."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._from, to = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                answer = pickle.dumps((True, work()))
            except BaseException:  # noqa: BLE001 - told by the parent
                answer = pickle.dumps((False, traceback.format_exc()))
            with os.fdopen(to, "wb") as stream:
                stream.write(answer)
            os._exit(0)
        os.close(to)

    def result(self) -> Any:
        """Wait for the end; raises AssertionError with the child's traceback, or if it takes too long."""
        answer = b""
        deadline = time.monotonic() + LONG
        while select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = os.read(self._from, 65536)
            if not part:
                break
            answer += part
        else:
            os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self._from)
        assert answer, "the child said nothing in time"
        is_well, said = pickle.loads(answer)
        assert is_well, said
        return said


def exit_code_of(pid: int) -> int:
    """Wait for the end of a child; one that lives on is killed, and gives -9."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, 9)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
