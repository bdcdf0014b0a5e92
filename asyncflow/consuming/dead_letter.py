"""The row that a message becomes which a subscriber gave up."""

from __future__ import annotations

from typing import Any

from asyncflow.consuming.received import AnyReceived
from asyncflow.consuming.subscription import (
    Subscription,
    headers_of_message,
    headers_that_fit,
    key_of_message,
)
from asyncflow.errors import KeyGoneError
from asyncflow.outbox import Message, Outbox, Status
from asyncflow.outbox import payload as payloads
from asyncflow.outbox.message import Door, row_of
from asyncflow.outbox.task import ALGORITHM
from asyncflow.scheduler.table.log_lines import log_line, short_error
from asyncflow.scheduler.worker.verdict import Verdict
from asyncflow.text import printable

_ANY_SIZE = 2**31 - 1  # the broker took it


def dead_letter(
    outbox: Outbox,
    subscription: Subscription,
    message: AnyReceived,
    verdict: Verdict,
    *,
    only_ascii: bool = False,
    is_least: bool = False,
) -> dict[str, Any]:
    """Return the row of a message, with those of its headers that fit; brokers take more than a row does.

    ``is_least``: without headers and key, of which any may be what cannot be kept.
    """
    key: str | None = None
    if is_least:
        headers, left_out = dict[str, str](), ["the key", "all headers"]
    else:
        headers, left_out = headers_that_fit(headers_of_message(message), only_ascii=only_ascii)
        key = key_of_message(message)
    if only_ascii and key is not None and not key.isascii():
        key, left_out = None, ["the key", *left_out]
    body = Message(subscription.payload(message), key, headers, content_type=payloads.JSON)
    row = row_of(body, subscription.kind, Door(outbox.shard_count, _ANY_SIZE))
    log = log_line(verdict.error, verdict.frames)
    if ALGORITHM not in message.headers:  # what cannot be read stays as it came
        try:
            outbox.encryption.encrypt_row(row, subscription.kind, _ANY_SIZE)
        except KeyGoneError as error:  # whose key is gone is to be forgotten, and holds nobody up
            row["payload"] = b"{}"
            log += log_line(short_error(f"the payload is left out: {error}"))
    if left_out:
        log += log_line(short_error(f"left out, for a row cannot keep it: {', '.join(map(printable, left_out))}"))
    return {**row, "status": int(Status.FAILED), "schedule_log": log}
