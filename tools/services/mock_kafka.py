"""Run librdkafka's mock Kafka cluster until SIGTERM, and print its bootstrap address.

    python tools/services/mock_kafka.py

It is run as a file, by a Python that has confluent-kafka, and so imports nothing from this package.
"""

from __future__ import annotations

import signal

from confluent_kafka import Producer

METADATA_DEADLINE_SECONDS = 10.0
THE_END = {signal.SIGTERM, signal.SIGINT}


def main() -> None:
    """Start the cluster, tell where it is, and wait to be ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, THE_END)  # before librdkafka starts threads, which inherit it
    producer = Producer({"test.mock.num.brokers": 1})
    brokers = producer.list_topics(timeout=METADATA_DEADLINE_SECONDS).brokers.values()
    print("bootstrap", ",".join(f"{broker.host}:{broker.port}" for broker in brokers), flush=True)
    signal.sigwait(THE_END)


if __name__ == "__main__":
    main()
