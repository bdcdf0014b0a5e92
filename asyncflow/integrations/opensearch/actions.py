"""From a record to an action of a bulk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

import orjson

from asyncflow.scheduler.publishing.publisher import Record, Rejected

MOST_ID_BYTES = 512
MOST_INDEX_BYTES = 255
_NO_INDEX = re.compile(r'[A-Z\\/*?"<>| ,#:\x00-\x1f]')
_MOST_VERSION = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Action(NamedTuple):
    """Hold what is to be indexed, as it stands in the body of a bulk."""

    index_name: str
    body: bytes
    has_version: bool


def index_fault(topic: str) -> str | None:
    """Return why no index can be called like a topic, or None."""
    if topic in (".", "..") or topic[:1] in ("-", "_", "+"):
        return "the name of an index does not begin so"
    if found := _NO_INDEX.search(topic):
        return f"the name of an index has no {found[0]!r}"
    if len(topic.encode()) > MOST_INDEX_BYTES:
        return f"the name of an index has at most {MOST_INDEX_BYTES} bytes"
    return None


def action_of(record: Record, version_field: str | None, most_bytes: int) -> Action | Rejected:
    """Return a record's action: its id is the key, or that of the message where there is none."""
    if fault := index_fault(record.topic):
        return Rejected(f"the topic {record.topic!r} is no index: {fault}")
    its_id = _id_of(record)
    if its_id is None:
        return Rejected(f"its key, by which the index knows it, is no text of 1 to {MOST_ID_BYTES} bytes")
    try:
        document = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        return Rejected("the payload is no JSON, and an index holds nothing else")
    if not isinstance(document, dict):
        return Rejected("the payload is no JSON object, and an index holds nothing else")
    head: dict[str, Any] = {"_index": record.topic, "_id": its_id}
    if version_field is not None:
        version = _version(document.get(version_field))
        if version is None:
            return Rejected(
                f"its field {version_field!r}, which tells the newer of two, is no time as RFC 3339 has it, and no "
                f"whole number from 0 on; see OpenSearchSettings(version_field=...)"
            )
        head |= {"version": version, "version_type": "external"}
    # A line is a document; whoever wrote it may have spread it over several, and within its texts there is no break.
    body = b"%b\n%b\n" % (orjson.dumps({"index": head}), record.value.replace(b"\r", b" ").replace(b"\n", b" "))
    if len(body) > most_bytes:
        return Rejected(f"the document has {len(body)} bytes; max_bulk_bytes is {most_bytes}")
    return Action(record.topic, body, version_field is not None)


def bulks(actions: Sequence[Action], most_bytes: int) -> Iterator[Sequence[Action]]:
    """Return the actions in order, in parts of which each has at most so many bytes."""
    part: list[Action] = []
    size = 0
    for action in actions:
        if part and size + len(action.body) > most_bytes:
            yield part
            part, size = [], 0
        part.append(action)
        size += len(action.body)
    if part:
        yield part


def _id_of(record: Record) -> str | None:
    raw = record.key if record.key is not None else dict(record.headers).get("message-id", b"")
    try:
        return raw.decode() if 1 <= len(raw) <= MOST_ID_BYTES else None
    except UnicodeDecodeError:
        return None


def _version(value: object) -> int | None:
    """Return the version that a field tells; of a time its microseconds."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return None
        if moment.tzinfo is None:
            return None
        since = moment - _EPOCH
        value = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_VERSION:
        return None
    return value
