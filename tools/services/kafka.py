"""Apache Kafka: one KRaft node, from the jars that Maven brings."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from tools.services import maven, place, ports
from tools.services.command import run
from tools.services.ports import LOOPBACK
from tools.services.probe import kafka_answers
from tools.services.process import Launch
from tools.services.service import Service

POM = Path(__file__).with_name("kafka-pom.xml")
LOGGING = Path(__file__).with_name("kafka-log4j2.properties")

# Which cluster it is does not matter, but the id has to be 16 bytes in base64: this is "asyncflow-tests0".
CLUSTER_ID = "YXN5bmNmbG93LXRlc3RzMA"

# One node has to be content with one replica. Internal topics get few partitions, since each costs files at
# the start. A consumer group begins at once. A broker that was killed may come back only when its session is
# over, for which chaos tests would wait 9 seconds. The log cleaner's own buffer would fill a quarter of the
# heap.
CONFIGURATION = """\
process.roles = broker,controller
node.id = 1
controller.quorum.voters = 1@{host}:{controller_port}
listeners = CLIENTS://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners = CLIENTS://{host}:{port}
inter.broker.listener.name = CLIENTS
controller.listener.names = CONTROLLER
listener.security.protocol.map = CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs = {data}
auto.create.topics.enable = true
num.partitions = 4
offsets.topic.replication.factor = 1
offsets.topic.num.partitions = 4
transaction.state.log.replication.factor = 1
transaction.state.log.min.isr = 1
transaction.state.log.num.partitions = 4
share.coordinator.state.topic.replication.factor = 1
share.coordinator.state.topic.min.isr = 1
share.coordinator.state.topic.num.partitions = 4
group.initial.rebalance.delay.ms = 0
broker.heartbeat.interval.ms = 500
broker.session.timeout.ms = 3000
log.cleaner.dedupe.buffer.size = 16777216
log.retention.bytes = 1073741824
"""


class Kafka(Service):
    """The Kafka broker, which is its own controller."""

    name = "kafka"
    title = "Kafka"
    variable = "ASYNCFLOW_TEST_KAFKA"
    usual_port = 9092
    deadline_seconds = 90.0

    def address(self, port: int) -> str:
        """Return the bootstrap address."""
        return f"{LOOPBACK}:{port}"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the broker serves requests."""
        return kafka_answers(host, port)

    def version(self) -> str:
        """Return the broker's name and version."""
        return f"Apache Kafka {maven.version_in(POM, 'kafka_2.13')}"

    def launch(self, home: Path, port: int) -> Launch:
        """Make the jars, the configuration and the storage, and return how to start the broker."""
        classes = ["-cp", f"{maven.jars(POM, home)}/*"]
        java, configuration = maven.java(), home / "server.properties"
        configuration.write_text(_configuration(home / "data", port))
        place.build(home / "data", partial(_format, [java, *classes], configuration))
        options = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={LOGGING}"]
        return Launch(command=[java, *options, *classes, "kafka.Kafka", str(configuration)])


def _configuration(data: Path, port: int) -> str:
    """Return the broker's configuration; nobody but the broker uses the port of its controller."""
    return CONFIGURATION.format(host=LOOPBACK, port=port, controller_port=ports.choose(port + 1), data=data)


def _format(java: list[str], configuration: Path, target: Path) -> None:
    """Format the storage in `target`, which is given its final name once it is complete."""
    draft = configuration.with_name("format.properties")
    draft.write_text(re.sub(r"(?m)^log\.dirs = .*$", f"log.dirs = {target}", configuration.read_text()))
    run([*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(draft)])
