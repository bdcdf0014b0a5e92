"""Run librdkafka's mock Kafka cluster and misbehave on command; the program behind ``MockCluster``.

It prints its bootstrap address, then answers each line that it reads with ``ok``:

    errors API_KEY CODE [CODE ...]   let the next requests of that kind fail, one by one, with these codes
    topic NAME CODE                  let the topic be answered with that code
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import confluent_kafka

PRODUCER = 0
LIBRARIES = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"


def main() -> None:
    rdkafka = _library()
    handle = rdkafka.rd_kafka_new(PRODUCER, rdkafka.rd_kafka_conf_new(), ctypes.create_string_buffer(512), 512)
    cluster = rdkafka.rd_kafka_mock_cluster_new(ctypes.c_void_p(handle), 1)
    address = rdkafka.rd_kafka_mock_cluster_bootstraps(ctypes.c_void_p(cluster))
    print(ctypes.string_at(address).decode(), flush=True)
    for line in sys.stdin:
        _obey(rdkafka, ctypes.c_void_p(cluster), line.split())
        print("ok", flush=True)


def _library() -> ctypes.CDLL:
    rdkafka = ctypes.CDLL(str(next(LIBRARIES.glob("librdkafka-*.so*"))))
    for name in ("conf_new", "new", "mock_cluster_new", "mock_cluster_bootstraps"):
        getattr(rdkafka, f"rd_kafka_{name}").restype = ctypes.c_void_p
    rdkafka.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    return rdkafka


def _obey(rdkafka: ctypes.CDLL, cluster: ctypes.c_void_p, words: list[str]) -> None:
    match words:
        case ["errors", api_key, *codes]:
            array = (ctypes.c_int * len(codes))(*map(int, codes))
            rdkafka.rd_kafka_mock_push_request_errors_array(
                cluster, ctypes.c_int16(int(api_key)), ctypes.c_size_t(len(codes)), array
            )
        case ["topic", name, code]:
            rdkafka.rd_kafka_mock_topic_set_error(cluster, name.encode(), ctypes.c_int(int(code)))
        case _:
            raise ValueError(f"unknown command {words}")


if __name__ == "__main__":
    main()
