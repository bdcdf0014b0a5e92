"""The health of a scheduler's process over HTTP: whether it lives, and whether it is at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from asyncflow.errors import OptionError
from asyncflow.forks import leave_at_fork
from asyncflow.listeners import Answering, BoundedServer
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.table.queries import read_clock

_KEPT_SECONDS = 1.0  # an answer of the database: many who ask cost it what one does
_BUSY = 503


class Health:
    """Know whether a scheduler lives, and whether it is at work; any thread may ask."""

    def __init__(self, scheduler: Scheduler, clock: Callable[[], float] = time.monotonic) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._fault: str | None = None

    def fault_of_life(self) -> str | None:
        """Return why the process is to be replaced; None if it lives."""
        return "the scheduler has stopped" if self._scheduler.wait(0) else None

    def fault_of_readiness(self) -> str | None:
        """Return why it is not at work; None if its leases are held and the database answers.

        Of several databases one at least is at work; ``faults_apart`` tells of the others.
        """
        if fault := self.fault_of_life():
            return fault
        if not self._scheduler.databases:
            return self._scheduler.ownership.fault() or self._fault_of_database()
        is_none_at_work = len(self.faults_apart()) == len(self._scheduler.databases)
        return "none of its databases is at work" if is_none_at_work else None

    def faults_apart(self) -> dict[str, str]:
        """Return why it is not at work in some of several databases, by their names: as their leases tell."""
        faults = {branch.name: branch.fault() for branch in self._scheduler.branches}
        return {name: fault for name, fault in faults.items() if name and fault is not None}

    def _fault_of_database(self) -> str | None:
        with self._lock:
            if self._clock() - self._asked_at >= _KEPT_SECONDS:
                self._fault = self._ask()
                self._asked_at = self._clock()
            return self._fault

    def _ask(self) -> str | None:
        try:
            run_briefly(self._scheduler.engine, lambda connection: connection.execute(read_clock()).scalar())
        except Exception as error:  # noqa: BLE001 - whatever it is, the database does not answer
            return f"the database does not answer: {type(error).__name__}"
        return None


class HealthServer:
    """Serve ``/healthz`` and ``/readyz`` from its making to ``close``: 200, or 503 with the reason; to HEAD without it.

    Raises OptionError for an address that cannot be had.
    """

    def __init__(self, health: Health, port: int, host: str = "127.0.0.1") -> None:
        paths = {"/healthz": health.fault_of_life, "/readyz": health.fault_of_readiness}

        class Handler(_HealthAnswer):
            faults = paths
            apart = health.faults_apart

        try:
            self._server = BoundedServer((host, port), Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            raise OptionError(f"the health port is {port} at {host}: {error}; give one that is free") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="asyncflow-health", daemon=True)
        self._thread.start()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Let go of the port: a child that outlives its parent would keep it from the next one."""
        self._server.socket.close()

    @property
    def port(self) -> int:
        """Return the port, also of one that was asked for as 0."""
        return self._server.server_port

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def __enter__(self) -> HealthServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _HealthAnswer(Answering):
    """Answer one request; made by the server, for each."""

    faults: ClassVar[Mapping[str, Callable[[], str | None]]] = {}
    apart: ClassVar[Callable[[], dict[str, str]]]

    def do_GET(self) -> None:  # noqa: N802 - http.server calls it so
        """Tell."""
        self.wfile.write(self._answer())

    def do_HEAD(self) -> None:  # noqa: N802
        """Tell by the status alone."""
        self._answer()

    def _answer(self) -> bytes:
        """Send the status and what stands in an answer's head; return its body."""
        ask = self.faults.get(self.path.partition("?")[0])
        fault = None if ask is None else ask()
        body: dict[str, Any] = {"status": "ok"} if fault is None else {"status": "not ready", "reason": fault}
        if ask is not None and (apart := type(self).apart()):
            body["databases"] = apart
        code = 200 if fault is None else _BUSY
        if ask is None:
            code, body = 404, {"status": "not found", "reason": "ask for /healthz or /readyz"}
        text = orjson.dumps(body)
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        return text
