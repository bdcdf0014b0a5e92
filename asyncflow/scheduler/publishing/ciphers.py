"""Messages encrypted or decrypted before they travel, as their types have it."""

from __future__ import annotations

from asyncflow.errors import EncryptionError, KeyGoneError, PayloadAlteredError
from asyncflow.outbox import MessageType, Outbox, Task
from asyncflow.outbox.declarations.cloud_events import SPARE_BYTES
from asyncflow.outbox.declarations.encrypting import END_TO_END
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.message import event_bytes, size_of
from asyncflow.scheduler.publishing.publisher import Outcome, Rejected, Retry


class Ciphers:
    """Make of messages what is sent; lives as long as its outbox, any thread uses it."""

    def __init__(self, outbox: Outbox) -> None:
        self._encryption = outbox.encryption
        self._most_bytes = outbox.max_message_bytes

    def goes_encrypted(self, kind: MessageType) -> bool:
        """Tell whether messages of a type are sent encrypted."""
        return self._encryption.of(kind) == END_TO_END

    def as_sent(self, task: Task, kind: MessageType, payload: bytes) -> Task | Outcome:
        """Return a message with the payload that is sent for it, or why it cannot be."""
        task = task._replace(payload=payload)
        is_closed, goes_closed = is_encrypted(task.headers_json), self.goes_encrypted(kind)
        if is_closed == goes_closed:
            return task
        return self._encrypted(task, kind, payload) if goes_closed else self._opened(task)

    def _opened(self, task: Task) -> Task | Outcome:
        try:
            return self._encryption.open_task(task)
        except (KeyGoneError, PayloadAlteredError) as error:
            return Rejected(str(error))
        except EncryptionError as error:
            return Retry(str(error))

    def _encrypted(self, task: Task, kind: MessageType, payload: bytes) -> Task | Outcome:
        """Encrypt what a builder has just made, or what was written before its type was sent so."""
        try:
            made = self._encryption.encrypt_task(task, payload)
        except Exception as error:  # noqa: BLE001 - of a hook, of one message
            return Retry(f"the payload could not be encrypted: {type(error).__name__}")
        size = size_of(made.payload, made.key, made.headers_json)
        size += event_bytes(kind, made.payload, made.key, made.headers_json)
        if size > self._most_bytes + SPARE_BYTES:  # hooks may have added some
            return Rejected(f"encrypted, the message is {size} bytes; the limit is {self._most_bytes}")
        return made
