"""The broker of the show without servers: librdkafka's mock cluster, in a process of its own.

python -m examples.registration_demo.show.mock_broker TOPIC

It speaks the Kafka protocol and keeps its topics in memory. It prints its address and runs until SIGTERM.
"""

from __future__ import annotations

import signal
import sys

from confluent_kafka import Producer

ANSWER_SECONDS = 30.0
THE_END = {signal.SIGTERM, signal.SIGINT}


def main() -> None:
    """Start the cluster, make the topic, tell the address, and wait for the end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, THE_END)  # before librdkafka's threads start, which inherit it
    producer = Producer({"test.mock.num.brokers": 1})
    cluster = producer.list_topics(sys.argv[1], timeout=ANSWER_SECONDS)  # asked for, a topic comes into being
    print("serves at", ",".join(f"{one.host}:{one.port}" for one in cluster.brokers.values()), flush=True)
    signal.sigwait(THE_END)


if __name__ == "__main__":
    main()
