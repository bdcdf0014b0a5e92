"""Kafka through kafka-python, which is plain Python."""
