"""Payloads as an operator may see them: in the clear where this process has the keys, or why not."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Row

from asyncflow.errors import EncryptionError, KeyGoneError, OptionError
from asyncflow.outbox.encryption.encryption import Encryption, Opened
from asyncflow.outbox.encryption.marks import encrypted_in, is_encrypted


class SeenPayload(NamedTuple):
    """Hold the payload of a row; of an encrypted one how it is, and why it is hidden, if it is."""

    content: bytes | None
    encrypted: str | None = None
    hidden: str | None = None


def payload_seen(row: Row[Any], encryption: Encryption) -> SeenPayload:
    """Return the payload of a whole row."""
    if row.payload is None or not is_encrypted(row.headers):
        return SeenPayload(row.payload)
    its = encrypted_in(row.headers, row.payload)
    told = f"{its.algorithm}, key {its.key_id!r}, {len(row.payload)} bytes"
    try:
        opened = encryption.open(row.id, row.task_type, row.task_key, row.headers, row.payload)
    except KeyGoneError:
        return SeenPayload(None, told, "its key is gone: nobody can read it any more")
    except EncryptionError as error:
        return SeenPayload(None, told, str(error))
    return SeenPayload(opened.payload, told)


def mended(row: Row[Any], payload: bytes, seen: bytes, encryption: Encryption) -> Opened:
    """Return another payload for a row, encrypted if the one that was seen is; raises OptionError."""
    shown = payload_seen(row, encryption)
    if shown.hidden is not None:
        raise OptionError(f"the payload of {row.id} cannot be mended here: {shown.hidden}")
    if shown.content != seen:
        raise OptionError(f"the payload of {row.id} is another by now; look at it again")
    if shown.encrypted is None:
        return Opened(payload, row.headers)
    its = {"id": row.id, "task_type": row.task_type, "key": row.task_key, "headers": row.headers}
    return encryption.encrypt_again(its, payload)
