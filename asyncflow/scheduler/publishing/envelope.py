"""From a task to the record that travels."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter
from struct import Struct
from typing import Any

import orjson

from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.message import CONTENT_TYPE
from asyncflow.outbox.payload import JSON
from asyncflow.outbox.task import ALGORITHM, Task
from asyncflow.scheduler.publishing.publisher import Record

MESSAGE_ID = "message-id"
MESSAGE_TYPE = "message-type"
_JSON_HEADER = (CONTENT_TYPE, JSON.encode())
_PARTS_OF_ONE = 5  # of the JSON of one header, by its quotes
_NOT_PLAIN = (CONTENT_TYPE, ALGORITHM, "\\")  # among headers; the last may stand for a letter of the others

_payload_of, _headers_of, _raw_id_of = attrgetter("payload"), attrgetter("headers_json"), attrgetter("raw_id")
_PARTS_OF_ID, _BYTES, _TEXT = Struct("8s4s4s4s12s"), {bytes}, {str}

# What Record._make does, without a call in Python for each row.
_record: Callable[[tuple[Any, ...]], Record] = partial(tuple.__new__, Record)


def are_plain(tasks: Sequence[Task]) -> bool:
    """Tell whether all have payloads that are JSON, in the clear, and headers that travel as they are; most do.

    At the cost of one look at all of their headers.
    """
    headers = "".join(filter(None, map(_headers_of, tasks)))
    return None not in map(_payload_of, tasks) and not any(mark in headers for mark in _NOT_PLAIN)


def _own_headers(text: str | None) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that were given, of a task that is plain."""
    if text is None:
        return ()
    parts = text.split('"')
    if len(parts) == _PARTS_OF_ONE:  # the context of a trace, say; without an escape it is found in half the time
        return ((parts[1], parts[3].encode()),)
    return tuple((name, value.encode()) for name, value in orjson.loads(text).items())


class Envelope:
    """Wrap the payloads of one task type; made once a type, for what does not change is made once.

    Each record carries the headers ``message-id`` (the task's UUID as text, the inbox's key downstream),
    ``message-type`` and ``content-type``, then the publisher's own.
    """

    def __init__(self, task_type: MessageType) -> None:
        self._topic = task_type.topic
        self._type_header = (MESSAGE_TYPE, task_type.name.encode())

    def wrap_plain(self, tasks: Sequence[Task]) -> list[Record]:
        """Return the records of tasks that ``are_plain``, as ``wrap`` makes them.

        In one loop, for a call in Python for each row takes as long as the rest.
        """
        topic, type_header = self._topic, self._type_header
        own_headers = list(map(_headers_of, tasks))
        if any(own_headers):
            return self._wrap_with_own(tasks, own_headers)
        return [
            _record(
                (
                    topic,
                    None if key is None else key.encode(),
                    payload,
                    ((MESSAGE_ID, its_id), type_header, _JSON_HEADER),
                )
            )
            for its_id, (_, _, _, key, _, payload, _, _) in zip(_message_ids(tasks), tasks, strict=True)
        ]

    def _wrap_with_own(self, tasks: Sequence[Task], own_headers: Iterable[str | None]) -> list[Record]:
        topic, type_header = self._topic, self._type_header
        given = map(_own_headers, own_headers)
        return [
            _record(
                (
                    topic,
                    None if key is None else key.encode(),
                    payload,
                    ((MESSAGE_ID, its_id), type_header, _JSON_HEADER, *own),
                )
            )
            for its_id, (_, _, _, key, _, payload, _, _), own in zip(_message_ids(tasks), tasks, given, strict=True)
        ]

    def wrap(self, task: Task, payload: bytes, built_type: str = JSON) -> Record:
        """Return the record of ``task`` with ``payload``.

        The content type given at the enqueue goes before ``built_type``, that of a payload built just now.
        """
        key = None if task.key is None else task.key.encode()
        id_header = (MESSAGE_ID, message_id(task.raw_id))
        if task.headers_json is None and built_type == JSON:
            return _record((self._topic, key, payload, (id_header, self._type_header, _JSON_HEADER)))
        headers: dict[str, str] = orjson.loads(task.headers_json or "{}")
        content_type = headers.pop(CONTENT_TYPE, built_type)
        own = ((name, value.encode()) for name, value in headers.items())
        return Record(
            self._topic,
            key,
            payload,
            (id_header, self._type_header, (CONTENT_TYPE, content_type.encode()), *own),
        )


def _message_ids(tasks: Sequence[Task]) -> Iterable[bytes]:
    """Return what ``message_id`` returns of each, all at once: a third of the time."""
    raw_ids = list(map(_raw_id_of, tasks))
    kinds = set(map(type, raw_ids))
    if kinds == _TEXT:
        return map(str.encode, raw_ids)
    if kinds != _BYTES:
        return map(message_id, raw_ids)
    return map(b"-".join, _PARTS_OF_ID.iter_unpack(hexlify(b"".join(raw_ids))))


def message_id(raw_id: Any) -> bytes:
    """Return the id as the text of a UUID, by slicing: building UUID objects takes four times as long."""
    if isinstance(raw_id, str):
        return raw_id.encode()
    digits = raw_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}".encode()
