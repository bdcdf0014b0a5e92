"""What a member of a group of Redis asks, and how answers are read in either protocol."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Inbox, Outbox
from asyncflow.errors import OptionError
from asyncflow.integrations.redis.consuming import RedisConsumer
from asyncflow.integrations.redis.consuming.group import Entry, Group, entries_read
from asyncflow.integrations.redis.consuming.in_hand import InHand

GROUP = Group("coupons", "me", 30.0, True)
ENTRIES = [[b"1-0", [b"value", b"{}", b"key", b"A1"]], [b"2-0", None]]


@pytest.mark.parametrize("answer", [[[b"orders", ENTRIES]], {b"orders": ENTRIES}])
def test_entries_are_read_and_those_that_were_trimmed_have_no_fields(answer: Any) -> None:
    found = entries_read(answer)
    assert found == [Entry("orders", "1-0", {b"value": b"{}", b"key": b"A1"}), Entry("orders", "2-0", None)]


def test_no_answer_is_no_entries() -> None:
    assert entries_read(None) == entries_read([]) == entries_read({}) == []


def test_a_stream_is_made_where_that_is_allowed() -> None:
    assert GROUP.create("orders")[-1] == "MKSTREAM"
    assert "MKSTREAM" not in GROUP._replace(creates_streams=False).create("orders")


def test_what_is_given_back_has_been_idle_for_as_long_as_the_dead() -> None:
    assert GROUP.give_back("orders", ["1-0"]) == [
        *("XCLAIM", "orders", "coupons", "given-back", 0, "1-0", "IDLE", 30_000, "JUSTID")
    ]


def test_what_is_in_hand_is_known_by_stream_until_it_is_removed() -> None:
    in_hand = InHand()
    assert [in_hand.add("orders", id_) for id_ in ("1-0", "2-0", "1-0")] == [True, True, False]
    in_hand.remove("orders", "1-0")
    in_hand.remove("unknown", "1-0")
    assert in_hand.by_stream() == [("orders", ["2-0"])]
    in_hand.remove("orders", "2-0")
    assert in_hand.by_stream() == []


@pytest.mark.parametrize(
    ("wrong", "told"), [({"group": ""}, "group"), ({"dead_after_seconds": 0}, "dead_after_seconds is 0")]
)
def test_what_does_not_fit_is_refused_where_the_consumer_is_made(wrong: dict[str, Any], told: str) -> None:
    pytest.importorskip("redis")
    metadata = MetaData()
    given: tuple[Any, Any, Any] = (create_engine("sqlite://"), Outbox(metadata), Inbox(metadata))
    options: dict[str, Any] = {"group": "coupons", **wrong}
    with pytest.raises(OptionError, match=told):
        RedisConsumer(*given, "redis://localhost", **options)
    with pytest.raises(OptionError, match="url begins with"):
        RedisConsumer(*given, "http://localhost", group="coupons")
