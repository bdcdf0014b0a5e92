"""From a record to a request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from asyncflow.errors import OptionError
from asyncflow.integrations.webhooks.addresses import Address, Addresses, UnfitUrlError
from asyncflow.integrations.webhooks.header_fields import fault_of_name, field_of, is_plain
from asyncflow.integrations.webhooks.settings import WebhookSettings
from asyncflow.integrations.webhooks.signing import ID, SIGNATURE, TIMESTAMP, SigningKeys
from asyncflow.scheduler.publishing.publisher import Record, Rejected, Retry

Secrets = str | Sequence[str] | Callable[[str], str | Sequence[str]] | None
MESSAGE_ID, MESSAGE_KEY, CONTENT_TYPE = "message-id", "message-key", "content-type"
BINARY = "application/octet-stream"


class Post(NamedTuple):
    """Hold one message as it is posted, but for what is made of the moment: time and signature."""

    address: Address
    key: bytes | None
    message_id: str
    headers: list[tuple[str, str]]
    body: bytes
    keys: SigningKeys | None

    def headers_at(self, now: float) -> list[tuple[str, str]]:
        """Return all headers of a request that is sent at that time, in seconds since 1970."""
        timestamp = str(int(now))
        of_now = [(ID, self.message_id), (TIMESTAMP, timestamp)]
        if self.keys is not None:
            of_now.append((SIGNATURE, " ".join(self.keys.signatures(self.message_id, timestamp, self.body))))
        return [*self.headers, *of_now]


class Way(NamedTuple):
    """Hold where messages of a topic go, and what they are signed with."""

    address: Address
    keys: SigningKeys | None


class PostMaker:
    """Make requests of records; lives as long as its publisher, used by its thread, on which the user's functions run.

    Raises OptionError for secrets at fault.
    """

    def __init__(self, addresses: Addresses, secrets: Secrets, settings: WebhookSettings) -> None:
        self._addresses = addresses
        self._secrets = secrets if callable(secrets) else None
        self._keys = None if secrets is None or callable(secrets) else SigningKeys(secrets)
        self._max_bytes = settings.max_message_bytes
        self._always = [("user-agent", "asyncflow"), ("accept", "*/*"), *settings.headers.items()]
        self._taken = {name.lower() for name in settings.headers}

    def make_all(self, batch: Sequence[Record]) -> list[Post | Rejected | Retry]:
        """Return each record's request, or why there is none; the user's functions are asked once for each topic."""
        ways = {topic: self._way(topic) for topic in dict.fromkeys(record.topic for record in batch)}
        return [self._made(record, ways[record.topic]) for record in batch]

    def _way(self, topic: str) -> Way | Rejected | Retry:
        try:
            keys = self._keys if self._secrets is None else SigningKeys(self._secrets(topic))
            return Way(self._addresses.of(topic), keys)
        except UnfitUrlError as error:
            return Rejected(f"the URL of the topic {topic!r} is refused: {error}")
        except OptionError as error:
            return Rejected(f"the secrets of the topic {topic!r} are refused: {error}")
        except Exception as error:  # noqa: BLE001 - the user's functions; their text may hold what is secret
            return Retry(f"the URL or the secrets of the topic {topic!r} are not known: {type(error).__name__}")

    def _made(self, record: Record, way: Way | Rejected | Retry) -> Post | Rejected | Retry:
        if not isinstance(way, Way):
            return way
        _, key, body, given = record
        if len(body) > self._max_bytes:
            return Rejected(f"the message has {len(body)} bytes; max_message_bytes is {self._max_bytes}")
        message_id, headers = id_of(record), list(self._always)
        if not message_id or "." in message_id or not is_plain(message_id):
            return Rejected(f"its id {message_id!r} cannot be signed: give plain ASCII without a dot")
        if not any(name.lower() == CONTENT_TYPE for name, _ in given):
            headers.append((CONTENT_TYPE, BINARY))
        if key is not None:
            headers.append((MESSAGE_KEY, field_of(MESSAGE_KEY, key)))
        for name, value in given:
            if name == MESSAGE_ID:
                continue
            if fault := self._fault(name, value):
                return Rejected(f"the header {name!r} cannot be sent: {fault}")
            headers.append((name, field_of(name, value)))
        return Post(way.address, key, message_id, headers, body, way.keys)

    def _fault(self, name: str, value: bytes) -> str | None:
        if name.lower() in self._taken:
            return "it is among those of WebhookSettings(headers=...)"
        if name.lower() == CONTENT_TYPE and not is_plain(value.decode("latin-1")):
            return "HTTP carries a content type of plain ASCII alone"
        return fault_of_name(name)


def id_of(record: Record) -> str:
    """Return the id by which a receiver knows a message that comes twice; of one without, what its content makes."""
    for name, value in record.headers:
        if name == MESSAGE_ID:
            return value.decode("latin-1")
    content = b"\0".join([record.topic.encode(), record.key or b"", record.value])
    return f"msg_{hashlib.sha256(content).hexdigest()[:32]}"
