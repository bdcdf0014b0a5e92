"""Hand tasks to workers by topics of Apache Kafka, and hear of them by another one, through confluent-kafka."""

from __future__ import annotations

from asyncflow.integrations.kafka.queueing.task_queue import KafkaQueue

__all__ = ["KafkaQueue"]
