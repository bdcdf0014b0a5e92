"""The front doors: what they export is what they have, sorted."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest

DOORS = [
    "asyncflow",
    "asyncflow.events",
    "asyncflow.integrations.etcd",
    "asyncflow.integrations.zookeeper",
    "asyncflow.outbox",
    "asyncflow.outbox.dialects",
    "asyncflow.scheduler",
]
# What applications import: such a name may get company, but it goes only with a new major version.
PROMISED = {
    "asyncflow": """
        Call CancelTask DataflowJob Enqueued HandlerType Inbox JobSettings Message MessageType NotDone Outbox
        PeriodicTask RejectTask RetryTask Scheduler SchedulerSettings ShardingContext SimpleJob Status Task
        TaskContext TaskMixin""",
    "asyncflow.outbox": """
        Call CancelTask Enqueued HandlerType Inbox Message MessageType NotDone Outbox PeriodicTask RejectTask RetryTask
        Status Task TaskMixin audit_table context_table dedupe_table inbox_table instance_table job_table
        parked_key_table periodic_table schedule_cfg_table shard_table task_table""",
    "asyncflow.scheduler": """
        SENT Audit AuditEntry Configurations Counters DataflowJob DeadLetters JobSettings Outcome Publisher Record
        Rejected Retry Scheduler SchedulerSettings Selection Sent ShardingContext SimpleJob TaskContext TypeConfig
        Unavailable""",
    "asyncflow.integrations.flowsvr": "ServiceSettings Token Tokens make_app",
    "asyncflow.integrations.flowsvr.client": """
        ClientSettings Created Held HeldTask Outcome Page ServiceWorker Settled TaskServiceClient""",
    "asyncflow.integrations.kafka.consuming": "Consumer",
    "asyncflow.integrations.nats.consuming": "NatsConsumer",
    "asyncflow.integrations.rabbitmq.consuming": "RabbitMQConsumer",
    "asyncflow.integrations.redis.consuming": "RedisConsumer",
    "asyncflow.integrations.rocketmq.consuming": "RocketMQConsumer",
    "asyncflow.integrations.rocketmq": "RocketMQPublisher RocketMQSettings",
    "asyncflow.integrations.redis": "Lock RedisPublisher RedisRegistry RedisSettings",
    "asyncflow.integrations.nats": "NatsPublisher NatsSettings",
    "asyncflow.integrations.opensearch": "OpenSearchPublisher OpenSearchSettings outcome_template",
    "asyncflow.integrations.webhooks": "WebhookPublisher WebhookSettings make_secret verify",
    "asyncflow.integrations.rabbitmq": "RabbitMQPublisher RabbitMQSettings",
    "asyncflow.testing.publisher_suite": "BrokerUnderTest PublisherSuite",
    "asyncflow.integrations.kafka": "ConfluentKafkaPublisher KafkaPublisher KafkaSasl KafkaSettings KafkaTls",
    "asyncflow.integrations.zookeeper": "ZooKeeper",
    "asyncflow.integrations.etcd": "EtcdRegistry",
}


def public_names(door: ModuleType) -> set[str]:
    modules = {name for name, value in vars(door).items() if isinstance(value, ModuleType)}
    return {name for name in vars(door) if not name.startswith("_")} - modules


def sorted_by_kind(names: list[str]) -> list[str]:
    """Return constants, then classes, then functions, each in alphabetical order."""
    return sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))


@pytest.mark.parametrize("name", DOORS)
def test_all_is_sorted_and_equals_the_public_names(name: str) -> None:
    door: Any = importlib.import_module(name)
    assert door.__all__ == sorted_by_kind(door.__all__)
    assert set(door.__all__) == public_names(door)


@pytest.mark.parametrize("name", PROMISED)
def test_what_applications_import_stays_where_it_is(name: str) -> None:
    assert set(PROMISED[name].split()) - set(importlib.import_module(name).__all__) == set()


@pytest.mark.parametrize("name", DOORS)
def test_every_public_name_is_documented(name: str) -> None:
    door: Any = importlib.import_module(name)
    assert door.__doc__
    undocumented = [exported for exported in door.__all__ if not (getattr(door, exported).__doc__ or "").strip()]
    assert undocumented == []


def test_the_package_tells_its_version() -> None:
    from importlib.metadata import version

    import asyncflow

    assert asyncflow.__version__ == version("asyncflow-outbox")


def test_the_package_is_typed() -> None:
    from importlib.resources import files

    assert files("asyncflow").joinpath("py.typed").is_file()
