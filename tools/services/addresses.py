"""The addresses of the services, for tests, benchmarks and the demo."""

from __future__ import annotations

from dataclasses import dataclass

from tools.services.current import current
from tools.services.etcd import Etcd
from tools.services.kafka import Kafka
from tools.services.mariadb import MariaDB
from tools.services.mysql import MySQL
from tools.services.nats import Nats
from tools.services.opensearch import OpenSearch
from tools.services.pgbouncer import PgBouncer
from tools.services.postgresql import PostgreSQL
from tools.services.rabbitmq import RabbitMQ
from tools.services.redis import Redis
from tools.services.rocketmq import RocketMQ
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
    pgbouncer_url: str | None = None
    opensearch_url: str | None = None


def load() -> Services:
    """Return the addresses in the environment, and otherwise those of the services that are up."""
    mariadb, postgresql, kafka = (current(service) for service in (MariaDB(), PostgreSQL(), Kafka()))
    rabbitmq, redis, rocketmq = current(RabbitMQ()), current(Redis()), current(RocketMQ())
    nats, zookeeper = current(Nats()), current(ZooKeeper())
    etcd, mysql, pgbouncer = current(Etcd()), current(MySQL()), current(PgBouncer())
    opensearch = current(OpenSearch())
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
        pgbouncer_url=pgbouncer.address if pgbouncer else None,
        opensearch_url=opensearch.address if opensearch else None,
    )
