"""Replicas of a task service and workers over HTTP, each a process that can be killed and started again."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from sqlalchemy import Engine

from tests.chaos.process import CHECKOUT

_UP_SECONDS = 120.0
_END_SECONDS = 120.0


class Troupe:
    """Have ``replicas`` services on ports of their own, and ``workers`` that each use one of them, until the end."""

    def __init__(self, engine: Engine, replicas: int, workers: int, *more: str) -> None:
        self.kills: Counter[str] = Counter()
        self.ends: Counter[int] = Counter()  # of workers that ended by themselves, by exit code
        self._url = engine.url.render_as_string(hide_password=False)
        self._more = more
        self._ports = [_free_port() for _ in range(replicas)]
        self.services = [self._service(port) for port in self._ports]
        self.workers: list[subprocess.Popen[bytes]] = []
        try:
            for port in self._ports:
                _await(lambda port=port: _is_ready(port), "a replica")  # type: ignore[misc]
            self.workers = [self._worker() for _ in range(workers)]
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Troupe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def kill_one(self) -> None:
        """Kill some service or worker by SIGKILL, and start it again."""
        number = random.randrange(len(self.services) + len(self.workers))
        if number < len(self.services):
            _kill(self.services[number])
            self.services[number] = self._service(self._ports[number])
            self.kills["services"] += 1
            return
        number -= len(self.services)
        _kill(self.workers[number])
        self.workers[number] = self._worker()
        self.kills["workers"] += 1

    def replace_dead_workers(self) -> None:
        """Start those again that have ended by themselves."""
        for number, worker in enumerate(self.workers):
            code = worker.poll()
            if code is not None:
                self.ends[code] += 1
                self.workers[number] = self._worker()

    def stop_workers(self) -> list[int]:
        """Ask the workers to end, by SIGTERM; return their exit codes."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        return [worker.wait(_END_SECONDS) for worker in self.workers]

    def end(self) -> None:
        """Kill what still runs."""
        for process in (*self.services, *self.workers):
            _kill(process)

    def _service(self, port: int) -> subprocess.Popen[bytes]:
        return _start("tests.chaos.service_process", self._url, str(port))

    def _worker(self) -> subprocess.Popen[bytes]:
        server = f"http://127.0.0.1:{random.choice(self._ports)}"
        return _start("tests.chaos.remote_worker_process", self._url, server, *self._more)


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", *arguments], cwd=CHECKOUT, preexec_fn=_hold_stop)


def _hold_stop() -> None:
    """Let a process hear of SIGTERM when it is ready to: one that comes while Python starts would end it unheard."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10):
            return True
    except OSError:
        return False


def _await(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _UP_SECONDS
    while not condition():
        assert time.monotonic() < until, f"{what} is not up after {_UP_SECONDS:.0f} s"
        time.sleep(0.05)
