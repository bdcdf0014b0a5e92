"""NATS with JetStream: one server, with users that may do less than others."""

from __future__ import annotations

import re
from pathlib import Path

from tools.services.command import find, run
from tools.services.ports import LOOPBACK
from tools.services.probe import nats_answers
from tools.services.process import Launch
from tools.services.service import PASSWORD, USER, Service
from tools.services.unpacked import root_of

# Beside the one who may do everything: who may not publish everywhere, not hear answers, not ask JetStream's API.
CONFIGURATION = """\
listen: "{host}:{port}"
jetstream {{ store_dir: "{home}/data", max_memory_store: 256MB, max_file_store: 1GB }}
authorization {{
  users: [
    {{ user: {user}, password: {password} }}
    {{ user: limited, password: {password}, permissions: {{ publish: {{ deny: ["forbidden.>"] }} }} }}
    {{ user: deaf, password: {password}, permissions: {{ subscribe: {{ deny: ["_INBOX.>"] }} }} }}
    {{ user: blind, password: {password}, permissions: {{ publish: {{ deny: ["$JS.API.>"] }} }} }}
  ]
}}
"""


class Nats(Service):
    """The NATS server."""

    name = "nats"
    title = "NATS"
    variable = "ASYNCFLOW_TEST_NATS_URL"
    usual_port = 4222
    package = "nats-server"

    def address(self, port: int) -> str:
        """Return the URL."""
        return f"nats://{USER}:{PASSWORD}@{LOOPBACK}:{port}"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the server greets a client."""
        return nats_answers(host, port)

    def version(self) -> str:
        """Return the server's name and version."""
        found = re.search(r"v([\d.]+)", run([self._server(), "--version"]))
        return f"NATS {found[1] if found else 'of an unknown version'}"

    def launch(self, home: Path, port: int) -> Launch:
        """Write the configuration, and return how to start the server."""
        server, configuration = self._server(), home / "nats.conf"
        (home / "data").mkdir(exist_ok=True)
        configuration.write_text(
            CONFIGURATION.format(host=LOOPBACK, port=port, home=home, user=USER, password=PASSWORD)
        )
        return Launch(command=[server, "--config", str(configuration)])

    def _server(self) -> str:
        return find("nats-server", places=[root_of(self) / "usr/bin", root_of(self) / "usr/sbin"])
