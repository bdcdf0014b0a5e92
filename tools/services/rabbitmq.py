"""RabbitMQ: one node, with a name, an Erlang port mapper and data of its own."""

from __future__ import annotations

import re
from pathlib import Path

from tools.services import ports
from tools.services.errors import CannotServeError
from tools.services.ports import LOOPBACK
from tools.services.probe import rabbitmq_answers
from tools.services.process import Launch
from tools.services.service import Service
from tools.services.unpacked import root_of

CONFIGURATION = """\
listeners.tcp.1 = {host}:{port}
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
max_message_size = 4000000
log.console = true
log.file = false
"""

# The port mapper would go on as a daemon. It ends with the node, and the node with this shell.
SCRIPT = """\
epmd -address "$ERL_EPMD_ADDRESS" -port "$ERL_EPMD_PORT" & mapper=$!
"$0" & server=$!
trap 'kill -TERM $server' TERM
wait $server; wait $server
kill $mapper
"""


class RabbitMQ(Service):
    """The RabbitMQ broker; its user guest may come in from the loopback interface alone."""

    name = "rabbitmq"
    title = "RabbitMQ"
    variable = "ASYNCFLOW_TEST_RABBITMQ_URL"
    usual_port = 5672
    package = "rabbitmq-server"

    def address(self, port: int) -> str:
        """Return the URL of AMQP."""
        return f"amqp://guest:guest@{LOOPBACK}:{port}/%2F"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the broker begins a connection."""
        return rabbitmq_answers(host, port)

    def version(self) -> str:
        """Return the broker's name and version."""
        found = re.search(r"rabbitmq_server-([\d.]+)", str(self._scripts()))
        return f"RabbitMQ {found[1] if found else 'of an unknown version'}"

    def launch(self, home: Path, port: int) -> Launch:
        """Write the configuration, and return how to start the broker."""
        if self._root() != Path("/"):
            _move_erlang(self._root())
        (home / "rabbitmq.conf").write_text(CONFIGURATION.format(host=LOOPBACK, port=port))
        (home / "enabled_plugins").write_text("[].\n")
        variables = [f"{name}={value}" for name, value in self._environment(home, port).items()]
        return Launch(command=["env", *variables, "sh", "-c", SCRIPT, str(self._scripts() / "rabbitmq-server")])

    def _environment(self, home: Path, port: int) -> dict[str, str]:
        root = self._root()
        programs = [str(root / "usr/lib/erlang/bin"), str(root / "usr/bin"), "/usr/local/bin", "/usr/bin", "/bin"]
        return {
            "HOME": str(home),  # of Erlang's cookie
            "PATH": ":".join(programs),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(ports.choose()),
            "RABBITMQ_NODENAME": f"asyncflow{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(ports.choose()),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
            # An idle node is not to keep a processor busy.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _root(self) -> Path:
        """Return where the packages are: installed, or unpacked by us; CannotServeError if they are not."""
        for root in (Path("/"), root_of(self)):
            if (root / "usr/lib/rabbitmq/bin/rabbitmq-server").exists():
                return root
        raise CannotServeError("rabbitmq-server is not installed")

    def _scripts(self) -> Path:
        """Return the folder of the broker's own scripts: Debian's wrappers of them want to be root or rabbitmq."""
        return (self._root() / "usr/lib/rabbitmq/bin/rabbitmq-server").resolve().parent


def _move_erlang(root: Path) -> None:
    """Tell Erlang where it is: Debian's own is told that it is in /usr/lib."""
    start = root / "usr/lib/erlang/bin/erl"
    start.write_text(start.read_text().replace("ROOTDIR=/usr/lib/erlang", f"ROOTDIR={root}/usr/lib/erlang"))
