"""Publish to Apache Kafka, through kafka-python or through confluent-kafka, and hand tasks to workers by it.

The client libraries are imported when a publisher is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.kafka.confluent.publisher import ConfluentKafkaPublisher
from asyncflow.integrations.kafka.python.publisher import KafkaPublisher
from asyncflow.integrations.kafka.queueing import KafkaQueue
from asyncflow.integrations.kafka.settings import KafkaSasl, KafkaSettings, KafkaTls

__all__ = ["ConfluentKafkaPublisher", "KafkaPublisher", "KafkaQueue", "KafkaSasl", "KafkaSettings", "KafkaTls"]
