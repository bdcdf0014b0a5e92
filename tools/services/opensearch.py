"""OpenSearch: one node, from the jars that Maven brings."""

from __future__ import annotations

from pathlib import Path

from tools.services import maven, place, ports
from tools.services.kafka import LOGGING
from tools.services.ports import LOOPBACK
from tools.services.probe import http_answers
from tools.services.process import Launch
from tools.services.service import Service

POM = Path(__file__).with_name("opensearch-pom.xml")
NODE = Path(__file__).with_name("OpenSearchNode.java")


class OpenSearch(Service):
    """A node of OpenSearch, which is a cluster by itself."""

    name = "opensearch"
    title = "OpenSearch"
    variable = "ASYNCFLOW_TEST_OPENSEARCH_URL"
    usual_port = 9200
    deadline_seconds = 120.0

    def address(self, port: int) -> str:
        """Return the URL."""
        return f"http://{LOOPBACK}:{port}"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the node serves HTTP."""
        return http_answers(host, port)

    def version(self) -> str:
        """Return the node's name and version."""
        return f"OpenSearch {maven.version_in(POM, 'opensearch')}"

    def launch(self, home: Path, port: int) -> Launch:
        """Make the jars, which all nodes of the checkout share, and the directories; return how to start."""
        java, shared = maven.java(), place.STATE / self.name
        shared.mkdir(parents=True, exist_ok=True)
        classes = f"{maven.jars(POM, shared)}/*"
        (home / "config").mkdir(exist_ok=True)
        options = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={LOGGING}"]
        arguments = [str(home), str(port), str(ports.choose())]
        return Launch(command=[java, *options, "-cp", classes, str(NODE), *arguments])
