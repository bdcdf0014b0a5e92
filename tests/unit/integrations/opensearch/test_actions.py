"""From a record to an action of a bulk: what the index knows it by, which of two is newer, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from asyncflow.integrations.opensearch.actions import Action, action_of, bulks, index_fault
from asyncflow.scheduler.publishing.publisher import Record, Rejected

SETTLED = "2026-01-02T03:04:05.678901Z"
MOST = 10_000


def record(
    document: Any = None, *, topic: str = "outcomes", key: bytes | None = b"t-1", raw: bytes | None = None
) -> Record:
    value = raw if raw is not None else orjson.dumps({"settled_at": SETTLED} if document is None else document)
    return Record(topic, key, value, [("message-id", b"m-1")])


def action(given: Record, version_field: str | None = "settled_at") -> tuple[dict[str, Any], Any]:
    made = action_of(given, version_field, MOST)
    assert isinstance(made, Action), made
    head, document, end = made.body.split(b"\n")
    assert end == b""
    return orjson.loads(head)["index"], orjson.loads(document)


def refusal(given: Record, version_field: str | None = "settled_at", most: int = MOST) -> str:
    made = action_of(given, version_field, most)
    assert isinstance(made, Rejected), made
    return made.error


def test_the_topic_is_the_index_and_the_key_the_id() -> None:
    head, document = action(record({"settled_at": SETTLED, "n": 1}))
    assert (head["_index"], head["_id"]) == ("outcomes", "t-1")
    assert document == {"settled_at": SETTLED, "n": 1}


def test_a_message_without_a_key_is_known_by_its_own_id() -> None:
    assert action(record(key=None))[0]["_id"] == "m-1"


def test_of_two_times_the_later_has_the_greater_version() -> None:
    times = ["2026-01-02T03:04:05Z", SETTLED, "2026-01-02T03:04:05.678902Z", "2026-01-02T03:04:06+00:00"]
    heads = [action(record({"settled_at": time}))[0] for time in times]
    assert [head["version_type"] for head in heads] == ["external"] * 4
    versions = [head["version"] for head in heads]
    assert versions == sorted(set(versions))


def test_a_whole_number_is_a_version_and_without_a_field_there_is_none() -> None:
    assert action(record({"revision": 7}), "revision")[0]["version"] == 7
    assert "version" not in action(record({"revision": 7}), None)[0]


@pytest.mark.parametrize("told", [None, "yesterday", "2026-01-02T03:04:05", -1, True, 1.5, 2**63])
def test_what_is_no_version_is_refused(told: object) -> None:
    assert "its field 'settled_at', which tells the newer of two" in refusal(record({"settled_at": told}))


@pytest.mark.parametrize("raw", [b"", b"no json", b"[1]", b"7", b"\xff"])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    assert "and an index holds nothing else" in refusal(record(raw=raw))


@pytest.mark.parametrize("key", [b"", b"x" * 513, b"\xff"])
def test_what_can_be_no_id_is_refused(key: bytes) -> None:
    assert "no text of 1 to 512 bytes" in refusal(record(key=key))


def test_a_document_is_one_line_however_it_was_written() -> None:
    spread = b'{\r\n "settled_at":\n "%b", "text": "a\\nb"}' % SETTLED.encode()
    assert action(record(raw=spread))[1] == {"settled_at": SETTLED, "text": "a\nb"}


def test_a_document_larger_than_a_bulk_is_refused() -> None:
    assert "max_bulk_bytes is 100" in refusal(record({"settled_at": SETTLED, "x": "y" * 100}), most=100)


@pytest.mark.parametrize("topic", ["Outcomes", "a b", "a/b", "-a", "_a", "..", "a:b", "a#b", "é" * 128])
def test_a_topic_that_can_be_no_index_is_told(topic: str) -> None:
    assert "the name of an index" in (index_fault(topic) or "")
    assert "is no index" in refusal(record(topic=topic))


def test_a_topic_that_can_be_an_index_is_none_to_tell_of() -> None:
    assert [index_fault(topic) for topic in ("outcomes", "task.settled", "outcomes-2026.01", "ergebnisse-é")] == [
        None
    ] * 4


def test_bulks_keep_the_order_and_their_size() -> None:
    actions = [Action("i", b"x" * size, True) for size in (40, 40, 40, 100, 10)]
    parts = [[len(one.body) for one in part] for part in bulks(actions, 100)]
    assert parts == [[40, 40], [40], [100], [10]]
    assert [*bulks([], 100)] == []
