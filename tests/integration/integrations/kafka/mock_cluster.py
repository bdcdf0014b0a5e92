"""A Kafka cluster of one's own, in a process that can be frozen and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.integration.integrations.kafka.watching import eventually

PROGRAM = Path(__file__).with_name("mock_cluster_process.py")
PRODUCE = 0
INIT_PRODUCER_ID = 22


class MockCluster:
    """Own one process that speaks Kafka's protocol; ``bootstrap`` is its address."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.bootstrap = self._answer()

    def fail_next(self, api_key: int, *codes: int) -> None:
        """Let the next requests of that kind fail, one by one, with these codes."""
        self._command("errors", api_key, *codes)

    def spoil_topic(self, topic: str, code: int) -> None:
        """Answer every request for the topic's metadata with the code; 0 mends it."""
        self._command("topic", topic, code)

    def freeze(self) -> None:
        """Stop answering, with every connection left open; return when the last thread has stopped."""
        os.kill(self._process.pid, signal.SIGSTOP)
        assert eventually(self._is_frozen), "the process would not stop"

    def thaw(self) -> None:
        """Go on where it was frozen."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the process; its connections break and its port refuses."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> MockCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def _is_frozen(self) -> bool:
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)

    def _command(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        assert self._answer() == "ok"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
