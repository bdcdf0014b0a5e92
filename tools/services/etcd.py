"""etcd: one member."""

from __future__ import annotations

import re
from pathlib import Path

from tools.services import ports
from tools.services.command import find, run
from tools.services.ports import LOOPBACK
from tools.services.probe import etcd_answers
from tools.services.process import Launch
from tools.services.service import Service
from tools.services.unpacked import root_of


class Etcd(Service):
    """An etcd cluster of one."""

    name = "etcd"
    title = "etcd"
    variable = "ASYNCFLOW_TEST_ETCD_URL"
    usual_port = 2379
    package = "etcd-server"

    def address(self, port: int) -> str:
        """Return the URL."""
        return f"http://{LOOPBACK}:{port}"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the server says that it is well, which it does once it has a leader."""
        return etcd_answers(host, port)

    def version(self) -> str:
        """Return the server's name and version."""
        found = re.search(r"etcd Version: ([\d.]+)", run([self._server(), "--version"]))
        return f"etcd {found[1] if found else 'of an unknown version'}"

    def launch(self, home: Path, port: int) -> Launch:
        """Return how to start the server."""
        url, peers = self.address(port), self.address(ports.choose())
        (home / "data").mkdir(exist_ok=True, mode=0o700)
        clients = ["--listen-client-urls", url, "--advertise-client-urls", url]
        itself = ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        only = ["--initial-cluster", f"default={peers}", "--data-dir", str(home / "data")]
        return Launch(command=[self._server(), *clients, *itself, *only])

    def _server(self) -> str:
        return find("etcd", places=[root_of(self) / "usr/bin"])
