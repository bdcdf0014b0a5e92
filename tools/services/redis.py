"""Redis, with each write on disk before it is acknowledged."""

from __future__ import annotations

import re
from pathlib import Path

from tools.services.command import find, run
from tools.services.ports import LOOPBACK
from tools.services.probe import redis_answers
from tools.services.process import Launch
from tools.services.service import Service
from tools.services.unpacked import root_of

# Of the packages of an unpacked one.
LIBRARIES = "usr/lib/x86_64-linux-gnu"


class Redis(Service):
    """The Redis server."""

    name = "redis"
    title = "Redis"
    variable = "ASYNCFLOW_TEST_REDIS_URL"
    usual_port = 6379
    package = "redis-server"

    def address(self, port: int) -> str:
        """Return the URL."""
        return f"redis://{LOOPBACK}:{port}/0"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the server answers a PING, which it does once its data are loaded."""
        return redis_answers(host, port)

    def version(self) -> str:
        """Return the server's name and version."""
        told = run([*self._with_libraries(), self._server(), "--version"])
        found = re.search(r"v=([\d.]+)", told)
        return f"Redis {found[1] if found else 'of an unknown version'}"

    def launch(self, home: Path, port: int) -> Launch:
        """Return how to start the server."""
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        where = ["--bind", LOOPBACK, "--port", str(port), "--dir", str(home), "--daemonize", "no"]
        return Launch(command=[*self._with_libraries(), self._server(), *where, *durable])

    def _server(self) -> str:
        return find("redis-server", places=[root_of(self) / "usr/bin"])

    def _with_libraries(self) -> list[str]:
        folder = root_of(self) / LIBRARIES
        return ["env", f"LD_LIBRARY_PATH={folder}"] if folder.exists() else []
