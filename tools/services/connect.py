"""Kafka Connect with Debezium: a worker by itself, beside the Kafka that is up, from the jars that Maven brings."""

from __future__ import annotations

import os
from pathlib import Path

from tools.services import maven, place, state
from tools.services.errors import CannotServeError
from tools.services.kafka import LOGGING, Kafka
from tools.services.ports import LOOPBACK
from tools.services.probe import http_answers
from tools.services.process import Launch
from tools.services.service import Service

POM = Path(__file__).with_name("connect-pom.xml")
DEBEZIUM = Path(__file__).with_name("debezium-pom.xml")
ASKED_OF_WORKERS = place.CHECKOUT / "deploy" / "debezium" / "worker.properties"

CONFIGURATION = """\
bootstrap.servers={kafka}
listeners=http://{host}:{port}
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.storage.file.filename={home}/offsets
offset.flush.interval.ms=1000
plugin.path={plugins}
plugin.discovery=service_load
"""


class Connect(Service):
    """A worker of Kafka Connect that has Debezium's connectors; more arguments of its command are connectors' files."""

    name = "connect"
    title = "Kafka Connect"
    variable = "ASYNCFLOW_TEST_CONNECT_URL"
    usual_port = 8083
    deadline_seconds = 120.0

    def address(self, port: int) -> str:
        """Return where the worker's REST interface is."""
        return f"http://{LOOPBACK}:{port}"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the worker's REST interface serves."""
        return http_answers(host, port)

    def version(self) -> str:
        """Return the names and versions of the worker and of its plugin."""
        debezium = maven.version_in(DEBEZIUM, "debezium-connector-mysql")
        return f"Kafka Connect {maven.version_in(POM, 'connect-runtime')} with Debezium {debezium}"

    def launch(self, home: Path, port: int) -> Launch:
        """Make the jars, which all workers of the checkout share, and the configuration; return how to start."""
        java, kafka, shared = maven.java(), _kafka(), place.STATE / self.name
        (shared / "plugins").mkdir(parents=True, exist_ok=True)
        classes = f"{maven.jars(POM, shared)}/*"
        maven.jars(DEBEZIUM, shared / "plugins")
        words = CONFIGURATION.format(kafka=kafka, host=LOOPBACK, port=port, home=home, plugins=shared / "plugins")
        configuration = home / "worker.properties"
        configuration.write_text(words + ASKED_OF_WORKERS.read_text())
        options = ["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={LOGGING}"]
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        return Launch(command=[java, *options, "-cp", classes, main, str(configuration)])


def _kafka() -> str:
    """Return the bootstrap address of the Kafka that is given or up; CannotServeError if there is none."""
    record = state.records().get(Kafka.name)
    address = os.environ.get(Kafka.variable) or (record.address if record and record.is_alive else None)
    if address is None:
        raise CannotServeError("no Kafka is up: run `python -m tools.services up kafka` first")
    return address
