"""A server that is killed while it is published to: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from time import monotonic

import pytest

from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Publisher, Record, Rejected
from tests.chaos.private_server import PrivateServer, private_server
from tools.services.errors import CannotServeError
from tools.services.nats import Nats

pytestmark = pytest.mark.timeout(240)

MESSAGES, BATCH, KILLS = 10_000, 500, 3
LIMIT_SECONDS = 120.0


@pytest.fixture
def server(nats_url: str) -> Iterator[PrivateServer]:
    """Give a server that may be killed, where the program of the shared one is on this machine."""
    try:
        Nats().version()
    except CannotServeError as reason:
        pytest.skip(f"{nats_url} is no program of this machine: {reason}")
    with private_server(Nats()) as server:
        yield server


class Sender(threading.Thread):
    """Publish all of it, each batch until it is sent; ``sent`` counts, ``rejected`` is what was never to be."""

    def __init__(self, publisher: Publisher, records: list[Record]) -> None:
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
                    threading.Event().wait(0.01)  # nobody is there for a while


def test_of_a_server_that_is_killed_again_and_again_nothing_is_lost_and_nothing_is_there_twice(
    server: PrivateServer,
) -> None:
    from asyncflow.integrations.nats import NatsPublisher
    from tests.integration.integrations.nats.plain_client import PlainClient

    with closing(PlainClient(server.url)) as client:
        client.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s"], "storage": "file", "duplicate_window": 10**12})
    records = [Record("s", b"k%d" % (n % 7), b"%d" % n, [("message-id", b"%d" % n)]) for n in range(MESSAGES)]
    publisher = NatsPublisher(server.url)
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
    with closing(PlainClient(server.url)) as client:
        state = client.api("STREAM.INFO.S")["state"]
        assert (state["messages"], state["last_seq"]) == (MESSAGES, MESSAGES)


def wait_for(sender: Sender, sent: int, deadline: float) -> None:
    while sender.sent < sent:
        assert monotonic() < deadline, f"{sender.sent} of {sent} are sent"
        threading.Event().wait(0.005)
