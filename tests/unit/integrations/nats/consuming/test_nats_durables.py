"""Which durable consumers a consumer of NATS takes messages of, and what it hears of one that refuses."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from asyncflow.errors import UnreachableError
from asyncflow.integrations.nats.consuming.durables import Durable, Durables
from asyncflow.integrations.nats.consuming.pull import Pull

nats = pytest.importorskip("nats")
pytest.importorskip("nats.js.api")


class Streams:
    """Have one durable consumer already, as a server tells of it."""

    def __init__(self, **config: Any) -> None:
        self._config = nats.js.api.ConsumerConfig.from_response(
            {"filter_subject": "coupons", "ack_policy": "explicit", "max_deliver": -1, "ack_wait": 30e9, **config}
        )

    async def find_stream_name_by_subject(self, _: str) -> str:
        return "stream"

    async def consumer_info(self, *_: str) -> Any:
        return SimpleNamespace(config=self._config)


def found(**config: Any) -> Durable:
    return asyncio.run(Durables("group", 30.0).find(nats, Streams(**config), "coupons"))


def test_a_durable_that_is_there_and_fits_is_taken_as_it_is() -> None:
    assert found(ack_wait=5e9, max_ack_pending=3) == ("coupons", "stream", "group-coupons", 5.0)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"ack_policy": "none"}, "ack_policy='none'"),
        ({"ack_policy": "all"}, "ack_policy='all'"),
        ({"deliver_subject": "inbox"}, "deliver_subject='inbox'"),
        ({"max_deliver": 5}, "max_deliver=5"),
        ({"headers_only": True}, "headers_only=True"),
    ],
)
def test_a_durable_that_is_there_and_would_lose_messages_is_refused_by_its_field(
    config: dict[str, Any], told: str
) -> None:
    with pytest.raises(UnreachableError, match=f"another group, or delete the durable consumer group-coupons.*{told}"):
        found(**config)


def heard(status: str, description: str) -> list[Any]:
    """Return what a pull tells its client of a status."""
    told: list[Any] = []

    async def hear(_: str, cb: Any) -> None:
        headers = {"Status": status, "Description": description}
        await cb(SimpleNamespace(headers=headers, reply=""))

    client = SimpleNamespace(new_inbox=lambda: "inbox", subscribe=hear)
    pull = Pull(client, "$JS.API", Durable("coupons", "stream", "group-coupons", 30.0), lambda *one: told.append(one))
    asyncio.run(pull.begin())
    return told


@pytest.mark.parametrize(
    ("status", "description"),
    [
        ("400", "Bad Request"),
        ("409", "Consumer is push based"),
        ("409", "Exceeded MaxRequestBatch of 5"),
        ("409", "Exceeded MaxRequestExpires of 1s"),
        ("409", "exceeded maxrequestmaxbytes of 1024"),
    ],
)
def test_a_server_that_refuses_a_pull_is_told_of_with_its_own_words(status: str, description: str) -> None:
    [(topic, error)] = heard(status, description)
    assert topic == "coupons"
    assert isinstance(error, UnreachableError)
    assert f"refuses to be pulled from: {status} {description}; choose another group" in str(error)


@pytest.mark.parametrize(
    ("status", "description"),
    [
        ("404", "No Messages"),
        ("408", "Request Timeout"),
        ("409", "Exceeded MaxWaiting"),
        ("409", "Leadership Change"),
        ("100", "Idle Heartbeat"),
    ],
)
def test_a_status_behind_which_another_pull_may_have_messages_is_no_fault(status: str, description: str) -> None:
    assert heard(status, description) == []
