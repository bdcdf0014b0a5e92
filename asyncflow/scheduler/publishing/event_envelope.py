"""From a task to the record of an event: CloudEvents 1.0, in its binary and its structured mode."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson

from asyncflow.outbox.declarations.cloud_events import CloudEvents, no_string
from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.message import CONTENT_TYPE
from asyncflow.outbox.payload import JSON
from asyncflow.outbox.task import Task
from asyncflow.scheduler.publishing.envelope import MESSAGE_ID, Envelope
from asyncflow.scheduler.publishing.publisher import Publisher, Record

SPEC_VERSION = "1.0"
STRUCTURED = b"application/cloudevents+json; charset=UTF-8"
PREFIX = "ce_"  # of attributes among headers, where a publisher tells no other
_JSON_TYPES = re.compile(r"\s*(application|text)/([^;\s]+\+)?json\s*(;.*)?", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class EventEnvelope:
    """Wrap the payloads of one task type as events; made once a type, for what does not change is made once.

    ``prefix`` begins the names of attributes among the headers, as the binding of the destination's protocol has it.
    The headers of every record, ``message-id`` and ``message-type``, stay: the inbox knows messages by them.
    """

    def __init__(self, task_type: MessageType, events: CloudEvents, prefix: str) -> None:
        self._plain = Envelope(task_type)
        self._prefix = prefix
        self._is_structured = events.mode == "structured"
        self._from_headers = tuple(events.extension_headers)
        schema = {} if events.dataschema is None else {"dataschema": events.dataschema}
        self._always = {
            "specversion": SPEC_VERSION,
            "source": events.source,
            "type": events.type_prefix + task_type.name,
            **schema,
            **events.extensions,
        }

    def wrap_plain(self, tasks: Sequence[Task]) -> list[Record]:
        """Return the records of tasks that have payloads of JSON and no headers of their own."""
        return [self._event_of(record) for record in self._plain.wrap_plain(tasks)]

    def wrap(self, task: Task, payload: bytes, built_type: str = JSON) -> Record:
        """Return the record of ``task`` with ``payload``; raises ValueError for what no event can hold."""
        return self._event_of(self._plain.wrap(task, payload, built_type))

    def _event_of(self, record: Record) -> Record:
        headers = {name: value.decode() for name, value in record.headers}
        attributes = {**self._always, **self._of_message(headers, record.key)}
        if self._is_structured:
            return _structured(record, attributes, headers[CONTENT_TYPE])
        added = ((self._prefix + name, value.encode()) for name, value in attributes.items())
        return record._replace(headers=(*record.headers, *added))

    def _of_message(self, headers: Mapping[str, str], key: bytes | None) -> dict[str, str]:
        message_id = headers[MESSAGE_ID]
        found = {"id": message_id}
        if time := time_of(message_id):
            found["time"] = time
        if key:
            found["subject"] = key.decode()
        found.update((name, headers[name]) for name in self._from_headers if headers.get(name))
        for name, value in found.items():
            if no_string(value):
                raise ValueError(f"{name} holds a control character, which no attribute of an event may hold")
        return found


def time_of(message_id: str) -> str | None:
    """Return when the task was made, in RFC 3339: an id of version 7 begins with it, in milliseconds; else None."""
    if message_id[14:15] != "7":
        return None
    moment = _EPOCH + timedelta(milliseconds=int(message_id[:8] + message_id[9:13], 16))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _structured(record: Record, attributes: Mapping[str, str], content_type: str) -> Record:
    """Return the record whose value is the event as JSON: data of JSON as it is, everything else in base64."""
    event: dict[str, Any] = {**attributes, "datacontenttype": content_type}
    if _JSON_TYPES.fullmatch(content_type) and _is_json(record.value):
        event["data"] = orjson.Fragment(record.value)
    else:
        event["data_base64"] = b64encode(record.value).decode()
    headers = [(name, STRUCTURED if name == CONTENT_TYPE else value) for name, value in record.headers]
    return record._replace(value=orjson.dumps(event), headers=headers)


def _is_json(value: bytes) -> bool:
    try:
        orjson.loads(value)
    except ValueError:
        return False
    return True


def envelope_of(task_type: MessageType, publisher: Publisher) -> Envelope | EventEnvelope:
    """Return what wraps messages of a type for a publisher, as its declaration and the publisher's protocol have it."""
    if task_type.cloudevents is None:
        return Envelope(task_type)
    prefix: str = getattr(publisher, "event_prefix", PREFIX)
    return EventEnvelope(task_type, task_type.cloudevents, prefix)
