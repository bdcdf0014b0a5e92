"""A database server of a test's own, which may be killed without disturbing anybody."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from tools.services import ports
from tools.services.process import Process, spawn, wait_until
from tools.services.service import Service


class PrivateServer:
    """Run one server on a port and a directory of its own, as often as it is started."""

    def __init__(
        self,
        service: Service,
        home: Path,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self._service = service
        self._options = list(options)
        self._environment = environment or {}
        self._home = home
        self._port = ports.choose()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Return the SQLAlchemy URL."""
        return self._service.address(self._port)

    def bytes_on_disk(self) -> dict[str, int]:
        """Return how much its files hold, as the file system counts it, by their names."""
        found: dict[str, int] = {}
        for directory, _, names in os.walk(self._home):
            for name in names:
                with suppress(FileNotFoundError):  # dropped meanwhile
                    found[name] = found.get(name, 0) + 512 * os.stat(os.path.join(directory, name)).st_blocks
        return found

    def start(self) -> None:
        """Start the server on the data that it has, and wait until it serves."""
        _give_data(self._service.name, self._home)
        launch = self._service.launch(self._home, self._port)
        _keep_data(self._service.name, self._home)
        launch = replace(launch, command=[*launch.command, *self._options])
        if self._environment:
            assignments = [f"{name}={value}" for name, value in self._environment.items()]
            launch = replace(launch, command=["env", *assignments, *launch.command])
        self._process = spawn(launch, log=self._home / "server.log", directory=self._home)
        assert self._process is not None, "it ended at once"
        assert wait_until(lambda: self._service.answers(ports.LOOPBACK, self._port), self._service.deadline_seconds)

    def kill(self) -> None:
        """End the server by SIGKILL, with everything that it started."""
        if self._process is not None:
            self._process.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send the server a signal."""
        if self._process is not None:
            os.kill(self._process.pid, number)


# Data of servers that were made and never started, for the next ones: to make them takes a server longer than to start.
_unused: dict[str, Path] = {}


def _give_data(service: str, home: Path) -> None:
    if service in _unused and not (home / "data").exists():
        _copy(_unused[service] / "data", home)


def _keep_data(service: str, home: Path) -> None:
    if service not in _unused and (home / "data").exists():
        _unused[service] = Path(tempfile.mkdtemp(prefix=f"asyncflow-{service}-"))
        atexit.register(shutil.rmtree, _unused[service], ignore_errors=True)
        _copy(home / "data", _unused[service])


def _copy(directory: Path, into: Path) -> None:
    subprocess.run(["cp", "-a", str(directory), str(into)], check=True)


@contextmanager
def private_server(
    service: Service, environment: Mapping[str, str] | None = None, options: Sequence[str] = ()
) -> Iterator[PrivateServer]:
    """Start a server from this machine's programs, with more options; kill it and delete its data at the end."""
    home = Path(tempfile.mkdtemp(prefix=f"asyncflow-{service.name}-"))
    if service.account:
        shutil.chown(home, service.account)
    server = PrivateServer(service, home, environment, options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(home)
