"""A broker of RocketMQ that is killed while it is published to: nothing that it acknowledged is lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Record, Rejected
from tests.chaos.private_server import PrivateServer, private_server
from tools.services.errors import CannotServeError
from tools.services.rocketmq import RocketMQ

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

MESSAGES, BATCH, KILLS, KEYS = 10_000, 500, 3, 97
LIMIT_SECONDS = 600.0


@pytest.fixture
def server() -> Iterator[PrivateServer]:
    """Give a broker that may be killed."""
    if find_spec("rocketmq") is None:
        pytest.skip("rocketmq-python-client is not installed")
    try:
        with private_server(RocketMQ()) as server:
            yield server
    except CannotServeError as reason:
        pytest.skip(f"RocketMQ is not to be had: {reason}")


class Sender(threading.Thread):
    """Publish all of it, each batch until it is sent; ``sent`` counts, ``rejected`` is what was never to be."""

    def __init__(self, publisher: Any, records: list[Record]) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.rejected: list[Outcome] = []
        self._publisher, self._records = publisher, records

    def run(self) -> None:
        for first in range(0, len(self._records), BATCH):
            left = self._records[first : first + BATCH]
            while left:
                outcomes = self._publisher.publish(left)
                self.sent += outcomes.count(SENT)
                self.rejected += [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
                left = [record for record, outcome in zip(left, outcomes, strict=True) if outcome != SENT]
                if left:
                    threading.Event().wait(0.2)  # nobody is there for a while


def test_of_a_broker_that_is_killed_again_and_again_nothing_is_lost(server: PrivateServer) -> None:
    from asyncflow.integrations.rocketmq import RocketMQPublisher
    from tests.integration.integrations.rocketmq.plain_client import PlainClient

    parts = urlsplit(server.url)
    host, port = parse_qs(parts.query)["broker"][0].split(":")
    client = PlainClient(host, int(port))
    client.make_topic("killed")
    records = [Record("killed", b"k%d" % (n % KEYS), b"%d" % n, [("message-id", b"%d" % n)]) for n in range(MESSAGES)]
    publisher = RocketMQPublisher(f"{parts.hostname}:{parts.port}")
    sender = Sender(publisher, records)
    sender.start()
    deadline = monotonic() + LIMIT_SECONDS
    for kill in range(KILLS):
        wait_for(sender, MESSAGES * (kill + 1) // (KILLS + 2), deadline)
        server.kill()
        server.start()
    sender.join(LIMIT_SECONDS)
    assert not sender.is_alive()
    publisher.close()
    assert sender.rejected == []
    stored = Counter(int(one.body) for one in client.stored("killed"))
    assert stored.keys() == set(range(MESSAGES))
    twice = stored.total() - MESSAGES
    assert twice <= KILLS * BATCH  # what was on its way when the broker died, and not acknowledged


def wait_for(sender: Sender, sent: int, deadline: float) -> None:
    while sender.sent < sent:
        assert monotonic() < deadline, f"{sender.sent} of {sent} are sent"
        threading.Event().wait(0.005)
