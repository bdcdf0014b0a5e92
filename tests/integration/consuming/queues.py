"""A broker as the suite of consumers needs it: topics, a consumer of them, and what is left there."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from asyncflow.scheduler.publishing.publisher import SENT, Record
from tests.support.proxy import CuttingProxy


class QueuesUnderTest(ABC):
    """Lead publishers and consumers to a broker through ``proxy``, and look at it past that."""

    proxy: CuttingProxy
    module: str  # that has ``make_consumer``, for processes
    url: str  # through the proxy
    with_silence: ClassVar[dict[str, Any]]  # options by which a consumer may be silent for 20 seconds

    @abstractmethod
    def make_topic(self) -> str: ...

    @abstractmethod
    def make_publisher(self) -> Any: ...

    @abstractmethod
    def left(self, topic: str, group: str) -> int:
        """Return how many messages are not acknowledged."""

    @abstractmethod
    def close(self) -> None: ...

    def publish(self, topic: str, values: Iterable[Any], task_type: str = "coupon.granted", **given: Any) -> None:
        """Publish values, each JSON or bytes, by the publisher, as the outbox would."""
        records = [record_of(topic, value, task_type, **given) for value in values]
        self.publish_records(records)

    def publish_records(self, records: Sequence[Record]) -> None:
        publisher = self.make_publisher()
        try:
            assert list(publisher.publish(records)) == [SENT] * len(records)
        finally:
            publisher.close()

    @contextmanager
    def away(self) -> Iterator[None]:
        self.proxy.refuse()
        self.proxy.reset()
        yield
        self.proxy.refuse(False)


def record_of(topic: str, value: Any, task_type: str, *, key: bytes | None = None, has_id: bool = True) -> Record:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    headers = [("message-type", task_type.encode()), ("tenant", b"acme")]
    named = [("message-id", str(uuid.uuid4()).encode())] if has_id else []
    return Record(topic, key, body, [*named, *headers])
