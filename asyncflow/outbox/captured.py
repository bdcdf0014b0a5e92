"""Rows of captured types: done as they are written, with all headers that a relay would have given the message."""

from __future__ import annotations

from typing import Any

import orjson

from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.message import CONTENT_TYPE
from asyncflow.outbox.payload import JSON
from asyncflow.outbox.status import Status


def as_captured(row: dict[str, Any], kind: MessageType) -> dict[str, Any]:
    """Return a new row as one that no relay fetches, that is cleaned as what was sent, and that tells all by itself.

    Its id is among its headers as text: who captures a row of MySQL has 16 bytes of it.
    """
    headers: dict[str, str] = orjson.loads(row["headers"] or "{}")
    content_type = headers.pop(CONTENT_TYPE, JSON)
    all_headers = {"message-id": str(row["id"]), "message-type": kind.name, CONTENT_TYPE: content_type, **headers}
    return {**row, "status": int(Status.SUCCESS), "headers": orjson.dumps(all_headers).decode()}
