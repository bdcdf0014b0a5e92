"""The real services of the show: what `make services` has brought up."""

from __future__ import annotations

from examples.registration_demo.show.broker import Broker, new_topic
from examples.registration_demo.show.errors import ShowError
from tools.services import Services, life

REMEDY = "run `make services`"


def mariadb_url(services: Services) -> str:
    """Return MariaDB's address, or tell how to bring it up."""
    if services.mariadb_url is None:
        raise ShowError(f"MariaDB is not up: {REMEDY}")
    return services.mariadb_url


def kafka(services: Services) -> Broker:
    """Return Kafka's address, or tell how to bring it up; its process is ours if the services started it."""
    address = services.kafka_bootstrap
    if address is None:
        raise ShowError(f"Kafka is not up: {REMEDY}")
    pid = _pid_of(address)
    why_not = "" if pid else f"its process at {address} was not started by `make services`"
    return Broker(
        title="Apache Kafka" if services.kafka_is_real else f"a stand-in for Kafka ({services.kafka_note})",
        address=address,
        topic=new_topic(),
        pid=pid,
        is_real=services.kafka_is_real,
        why_not=why_not,
    )


def _pid_of(address: str) -> int | None:
    record = life.status("kafka")["kafka"]
    if record is None or record.address != address or not record.is_alive or record.process is None:
        return None
    return record.process.pid
