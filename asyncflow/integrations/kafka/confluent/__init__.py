"""Kafka through confluent-kafka, the binding of librdkafka."""
