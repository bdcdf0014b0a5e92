"""The encryption of one outbox: what of its rows is encrypted, and how it is read again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from asyncflow.errors import EncryptionError, OptionError, PayloadTooLargeError
from asyncflow.outbox.declarations.capture import not_captured
from asyncflow.outbox.declarations.encrypting import AT_REST, END_TO_END, OFF, Encrypting
from asyncflow.outbox.declarations.task_type import MessageType, TaskType
from asyncflow.outbox.encryption.hook import EncryptedPayload, PayloadEncryption, PayloadFacts
from asyncflow.outbox.encryption.marks import encrypted_in, is_encrypted, marked, unmarked
from asyncflow.outbox.message import event_bytes, size_of
from asyncflow.outbox.task import Task, headers_of, uuid_of
from asyncflow.text import a_type_of, shown

NO_HOOK = (
    "the payload is encrypted, and this process has no encryption; give its Outbox(encryption=...) what the "
    "application's has"
)


class Opened(NamedTuple):
    """Hold a payload that was decrypted, and the headers without its marks, as JSON."""

    payload: bytes
    headers: str | None


class Encryption:
    """Encrypt and decrypt what the rows of one outbox hold, by its hook; lives as long as it, any thread calls.

    It is true where there is a hook. Without one nothing is encrypted, and what is cannot be read.
    """

    def __init__(self, hook: PayloadEncryption | None) -> None:
        if hook is not None and not isinstance(hook, PayloadEncryption):
            raise OptionError(
                f"encryption is {a_type_of(hook)}; give what has encrypt() and decrypt(), such as AesGcm of "
                f"asyncflow.integrations.encryption"
            )
        self._hook = hook
        self.messages: Encrypting = getattr(hook, "messages", AT_REST)
        if self.messages not in (AT_REST, END_TO_END):
            raise OptionError(f"messages of the encryption is {shown(self.messages)}; give 'at_rest' or 'end_to_end'")

    def __bool__(self) -> bool:
        return self._hook is not None

    def of(self, task_type: TaskType) -> Encrypting:
        """Return how far the payloads of a type are encrypted."""
        if self._hook is None:
            return OFF
        if task_type.encryption is not None:
            return task_type.encryption
        return self.messages if isinstance(task_type, MessageType) else AT_REST

    def require_possible(self, task_type: TaskType) -> None:
        """Raise OptionError if a type asks for what there is no hook for, or for what nobody would decrypt."""
        if self._hook is None and task_type.encryption not in (None, OFF):
            raise OptionError(
                f"encryption of {task_type.name!r} is {task_type.encryption!r}, and its outbox has none: give "
                f"Outbox(encryption=AesGcm(...)), or leave it out"
            )
        if isinstance(task_type, MessageType) and task_type.captured and self.of(task_type) == AT_REST:
            raise not_captured(task_type.name, "encryption", AT_REST, "give the type encryption='end_to_end', or 'off'")

    def encrypt_row(self, row: dict[str, Any], task_type: TaskType, most_bytes: int) -> None:
        """Encrypt the payload of a new row, if there is one and its type asks for it; raises PayloadTooLargeError."""
        way, payload = self.of(task_type), row["payload"]
        if way == OFF or payload is None:
            return
        given, key = row["headers"], row["task_key"]
        encrypted = self._encrypt(payload, PayloadFacts(row["id"], task_type.name, key, headers_of(given)))
        row["payload"], row["headers"] = encrypted.content, marked(given, encrypted)
        size = size_of(encrypted.content, key, row["headers"])
        size += event_bytes(task_type, encrypted.content, key, row["headers"] if way == END_TO_END else given)
        if size > most_bytes:
            raise PayloadTooLargeError(
                f"payload: encrypted, the message is {size} bytes with its key and headers, the limit is {most_bytes}; "
                f"publish a reference to a stored body, or raise Outbox(max_message_bytes=...)"
            )

    def encrypt_again(self, task: Mapping[str, Any], payload: bytes) -> Opened:
        """Return another payload for the row of a task, encrypted by today's key, with the headers that tell so."""
        headers = unmarked(task["headers"])
        encrypted = self._encrypt(
            payload, PayloadFacts(task["id"], task["task_type"], task["key"], headers_of(headers))
        )
        return Opened(encrypted.content, marked(headers, encrypted))

    def encrypt_task(self, task: Task, payload: bytes) -> Task:
        """Return a message with its payload encrypted, as it is to travel."""
        encrypted = self._encrypt(payload, PayloadFacts(task.id, task.task_type, task.key, task.headers))
        return task._replace(payload=encrypted.content, headers_json=marked(task.headers_json, encrypted))

    def open_task(self, task: Task) -> Task:
        """Return a task with its payload in the clear; raises EncryptionError."""
        if not is_encrypted(task.headers_json):
            return task
        opened = self.open(task.raw_id, task.task_type, task.key, task.headers_json, task.payload)
        return task._replace(payload=opened.payload, headers_json=opened.headers)

    def open(self, raw_id: Any, task_type: str, key: str | None, headers: str | None, payload: bytes | None) -> Opened:
        """Return what a row holds in the clear; raises EncryptionError."""
        if not is_encrypted(headers) or headers is None or payload is None:
            return Opened(payload or b"", headers)
        facts = PayloadFacts(uuid_of(raw_id), task_type, key, headers_of(headers))
        return Opened(self.decrypt(encrypted_in(headers, bytes(payload)), facts), unmarked(headers))

    def decrypt(self, encrypted: EncryptedPayload, facts: PayloadFacts) -> bytes:
        """Return a payload in the clear; raises EncryptionError, which tells nothing of what is in it."""
        if self._hook is None:
            raise EncryptionError(NO_HOOK)
        try:
            return bytes(self._hook.decrypt(encrypted, facts))
        except EncryptionError:
            raise
        except Exception as error:
            raise EncryptionError(
                f"the payload could not be decrypted with key {encrypted.key_id!r}: {type(error).__name__}"
            ) from error

    def digest(self, content: bytes) -> bytes:
        """Return a digest by which bodies are compared, keyed where the hook has a key for that."""
        keyed = getattr(self._hook, "digest", None)
        found: bytes = hashlib.sha256(content).digest() if keyed is None else keyed(content)
        return found

    def _encrypt(self, payload: bytes, facts: PayloadFacts) -> EncryptedPayload:
        if self._hook is None:
            raise EncryptionError(NO_HOOK)
        return self._hook.encrypt(payload, facts)
