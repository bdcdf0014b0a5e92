"""Messages that were sent encrypted, in the clear for their subscribers."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.consuming.received import AnyReceived
from asyncflow.errors import EncryptionError
from asyncflow.outbox.encryption.arriving import ArrivedMessage, decrypt_message
from asyncflow.outbox.encryption.encryption import Encryption
from asyncflow.outbox.task import ALGORITHM


@dataclass(frozen=True, slots=True)
class Decrypted:
    """Be a message in the clear, without the marks of its encryption; all else is that of the one that came."""

    came: AnyReceived
    within: ArrivedMessage

    @property
    def topic(self) -> str:
        """Return where subscribers ask for it."""
        return self.came.topic

    @property
    def key(self) -> bytes | None:
        """Return its key."""
        return self.came.key

    @property
    def value(self) -> bytes:
        """Return what it carries, in the clear."""
        return self.within.payload

    @property
    def headers(self) -> dict[str, bytes]:
        """Return its headers but for the marks."""
        return self.within.headers

    @property
    def id(self) -> str:
        """Return what tells it from all others."""
        return self.came.id

    @property
    def place(self) -> str:
        """Return where it stands."""
        return self.came.place

    @property
    def place_id(self) -> str:
        """Return an id of its place."""
        return self.came.place_id

    @property
    def task_type(self) -> str:
        """Return what it is."""
        return self.came.task_type


def decrypted(message: AnyReceived, encryption: Encryption) -> AnyReceived:
    """Return a message in the clear; raises EncryptionError."""
    if ALGORITHM not in message.headers:
        return message
    return Decrypted(message, decrypt_message(encryption, message.value or b"", message.headers, key=message.key))


def readable(message: AnyReceived, encryption: Encryption) -> AnyReceived:
    """Return a message in the clear if that can be had, or as it came."""
    try:
        return decrypted(message, encryption)
    except EncryptionError:
        return message
