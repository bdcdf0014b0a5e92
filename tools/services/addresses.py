"""The addresses of the services, for tests, benchmarks and the demo."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tools.services import given, state
from tools.services.etcd import Etcd
from tools.services.kafka import Kafka
from tools.services.mariadb import MariaDB
from tools.services.mysql import MySQL
from tools.services.nats import Nats
from tools.services.opensearch import OpenSearch
from tools.services.postgresql import PostgreSQL
from tools.services.rabbitmq import RabbitMQ
from tools.services.redis import Redis
from tools.services.rocketmq import RocketMQ
from tools.services.service import Service
from tools.services.state import Record
from tools.services.zookeeper import ZooKeeper


@dataclass(frozen=True)
class Services:
    """What is up: SQLAlchemy URLs and Kafka's bootstrap address, None for a service that is not up.

    `kafka_is_real` is False for a mock cluster, and where there is no Kafka; `kafka_note` says what Kafka it
    is, and why if it is not a real one.
    """

    mariadb_url: str | None
    postgresql_url: str | None
    kafka_bootstrap: str | None
    kafka_is_real: bool
    kafka_note: str
    rabbitmq_url: str | None = None
    redis_url: str | None = None
    nats_url: str | None = None
    zookeeper_hosts: str | None = None
    etcd_url: str | None = None
    mysql_url: str | None = None
    rocketmq_url: str | None = None
    opensearch_url: str | None = None


def load() -> Services:
    """Return the addresses in the environment, and otherwise those of the services that are up."""
    mariadb, postgresql, kafka = (_current(service) for service in (MariaDB(), PostgreSQL(), Kafka()))
    rabbitmq, redis, rocketmq = _current(RabbitMQ()), _current(Redis()), _current(RocketMQ())
    nats, zookeeper = _current(Nats()), _current(ZooKeeper())
    etcd, mysql, opensearch = _current(Etcd()), _current(MySQL()), _current(OpenSearch())
    return Services(
        mariadb_url=mariadb.address if mariadb else None,
        postgresql_url=postgresql.address if postgresql else None,
        kafka_bootstrap=kafka.address if kafka else None,
        kafka_is_real=kafka is not None and kafka.is_real,
        kafka_note=kafka.note if kafka else "no Kafka is up: run `make services`",
        rabbitmq_url=rabbitmq.address if rabbitmq else None,
        redis_url=redis.address if redis else None,
        nats_url=nats.address if nats else None,
        zookeeper_hosts=zookeeper.address if zookeeper else None,
        etcd_url=etcd.address if etcd else None,
        mysql_url=mysql.address if mysql else None,
        rocketmq_url=rocketmq.address if rocketmq else None,
        opensearch_url=opensearch.address if opensearch else None,
    )


def _current(service: Service) -> Record | None:
    """Return the record of a service that is up, or None."""
    record = state.records().get(service.name)
    alive = record if record and record.is_alive else None
    address = os.environ.get(service.variable)
    if address and not (alive and alive.address == address):
        return given.record_of(service, address)
    return alive
