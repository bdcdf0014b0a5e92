"""Kafka's stand-in: librdkafka's mock cluster, in a process of its own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.services import place, state
from tools.services.command import run
from tools.services.errors import CannotServeError, StartError
from tools.services.process import Launch, wait_until
from tools.services.programs import Programs, begin
from tools.services.provider import Wanted
from tools.services.service import Service
from tools.services.state import Record

PROGRAM = Path(__file__).with_name("mock_kafka.py")
ANNOUNCEMENT = re.compile(r"^bootstrap (\S+)$", re.MULTILINE)


class Mock(Programs):
    """The mock cluster; it chooses its port itself, and forgets everything when it ends."""

    name = "mock"

    def serve(self, wanted: Wanted) -> Record:
        """Start the mock and wait until it tells its address."""
        service = wanted.service
        process = begin(service, Launch(command=[_python(), str(PROGRAM)]), place.STATE)
        wait_until(lambda: bool(_announced(service)) or not process.is_alive, service.deadline_seconds)
        address = _announced(service)
        if not address:
            process.kill()
            raise StartError("Kafka's mock told no address", "Mend what its log says", place.log_of(service.name))
        record = Record(
            service=service.name,
            provider=self.name,
            address=address,
            port=service.endpoint(address)[1],
            note="librdkafka's mock cluster",
            is_real=False,
            process=process,
        )
        return state.put(record)

    def remove(self, record: Record) -> None:
        """Delete nothing: the mock keeps its data in memory."""


def _python() -> str:
    """Return a Python that has confluent-kafka; CannotServeError if there is none."""
    for python in filter(Path.exists, (place.CHECKOUT / ".venv/bin/python", Path(sys.executable))):
        try:
            run([str(python), "-c", "import confluent_kafka"])
        except CannotServeError:
            continue
        return str(python)
    raise CannotServeError("no Python here has confluent-kafka, whose mock could stand in: run `make install`")


def _announced(service: Service) -> str | None:
    """Return the address that the mock has told its log."""
    told = ANNOUNCEMENT.search(place.log_of(service.name).read_text(errors="replace"))
    return told[1] if told else None
