"""The topics of a queue: how they are made where there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncflow.errors import UnreachableError
from asyncflow.integrations.kafka.queueing.cluster import QueueCluster

MOST_BYTES = 16 * 1024 * 1024  # of a letter: a task with its context; of a note
_CONFIGURATION = {
    # How long a letter lay is told by the brokers' clocks alone.
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(MOST_BYTES),
}
_LETTERS = {"retention.ms": str(24 * 60 * 60 * 1000)}  # no claim lasts longer
_THERE = "TOPIC_ALREADY_EXISTS"
_FORBIDDEN = ("TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED")


def make_topic(cluster: QueueCluster, admin: Any, topic: str, *, of_letters: bool) -> None:
    """Make a topic where there is none. Raises KafkaException, or UnreachableError where we may not and none is."""
    options: Mapping[str, str] = _CONFIGURATION | _LETTERS if of_letters else _CONFIGURATION
    new = cluster.admin_library.NewTopic(topic, cluster.partitions, -1, config=options)
    seconds = cluster.timeout_seconds
    try:
        admin.create_topics([new], operation_timeout=seconds, request_timeout=seconds)[topic].result()
    except cluster.library.KafkaException as error:
        name = error.args[0].name()
        if name == _THERE:
            return
        if name not in _FORBIDDEN:
            raise
        if topic not in admin.list_topics(timeout=seconds).topics:
            raise UnreachableError(
                f"there is no topic {topic!r}, and this user may not make it; have it made with "
                f"message.timestamp.type=LogAppendTime and as many partitions as there are workers"
            ) from error
