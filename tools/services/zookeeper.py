"""Apache ZooKeeper: one server, from the jars that Maven brings."""

from __future__ import annotations

from pathlib import Path

from tools.services import maven, place
from tools.services.ports import LOOPBACK
from tools.services.probe import zookeeper_answers
from tools.services.process import Launch
from tools.services.service import Service

POM = Path(__file__).with_name("zookeeper-pom.xml")
LOGGING = Path(__file__).with_name("zookeeper-logback.xml")

# A session is of two ticks at the least: tests cannot wait for the usual 4 seconds.
CONFIGURATION = """\
tickTime=250
minSessionTimeout=1000
maxSessionTimeout=60000
dataDir={data}
clientPort={port}
clientPortAddress={host}
admin.enableServer=false
4lw.commands.whitelist=ruok
maxClientCnxns=0
"""


class ZooKeeper(Service):
    """A ZooKeeper ensemble of one."""

    name = "zookeeper"
    title = "ZooKeeper"
    variable = "ASYNCFLOW_TEST_ZOOKEEPER"
    usual_port = 2181

    def address(self, port: int) -> str:
        """Return the server's host and port."""
        return f"{LOOPBACK}:{port}"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the server serves requests."""
        return zookeeper_answers(host, port)

    def version(self) -> str:
        """Return the server's name and version."""
        return f"Apache ZooKeeper {maven.version_in(POM, 'zookeeper')}"

    def launch(self, home: Path, port: int) -> Launch:
        """Make the jars, which all servers of the checkout share, and the configuration; return how to start."""
        java, shared = maven.java(), place.STATE / self.name
        shared.mkdir(parents=True, exist_ok=True)
        classes = f"{maven.jars(POM, shared)}/*"
        (home / "data").mkdir(exist_ok=True)
        configuration = home / "zoo.cfg"
        configuration.write_text(CONFIGURATION.format(data=home / "data", port=port, host=LOOPBACK))
        options = ["-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", f"-Dlogback.configurationFile={LOGGING}"]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return Launch(command=[java, *options, "-cp", classes, main, str(configuration)])
