"""Pull requests for one durable consumer, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import orjson

from asyncflow.errors import UnreachableError
from asyncflow.integrations.nats.consuming.durables import Durable

_EXPIRES_SECONDS = 5.0
_NO_ANSWER_SECONDS = 5.0  # beyond that: a request of which nothing was heard is lost
_LIVES, _NO_RESPONDERS = "100", "503"
_GONE = "consumer deleted"
_REFUSED_STATUS = "400"
_REFUSED = ("consumer is push based", "exceeded maxrequest")  # batch, expires or max bytes


class Pull:
    """Ask for messages of one durable consumer; on the loop of its client."""

    def __init__(self, client: Any, prefix: str, durable: Durable, heard: Callable[[str, Any], None]) -> None:
        self.durable = durable
        self._client = client
        self._subject = f"{prefix}.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}"
        self._heard = heard
        self._inbox = client.new_inbox()
        self._subscription: Any = None
        self._awaited = 0
        self._lost_at = 0.0

    async def begin(self) -> None:
        """Listen for what is asked for."""
        self._subscription = await self._client.subscribe(self._inbox, cb=self._hear)

    async def ask(self, count: int) -> None:
        """Ask for so many messages, unless what was asked for before may come still."""
        if self._awaited and monotonic() < self._lost_at:
            return
        self._awaited, self._lost_at = count, monotonic() + _EXPIRES_SECONDS + _NO_ANSWER_SECONDS
        question = {"batch": count, "expires": int(_EXPIRES_SECONDS * 1e9)}
        await self._client.publish(self._subject, orjson.dumps(question), self._inbox)

    async def end(self) -> None:
        """Take in what is under way, and nothing more."""
        await self._subscription.drain()

    async def _hear(self, message: Any) -> None:
        status = (message.headers or {}).get("Status")
        if status is None or message.reply:
            self._awaited = max(0, self._awaited - 1)
            self._heard(self.durable.topic, message)
        elif status != _LIVES:
            self._awaited = 0
            self._require(status, message.headers.get("Description", ""))

    def _require(self, status: str, description: str) -> None:
        told = description.lower()
        if status == _NO_RESPONDERS or _GONE in told:
            why = UnreachableError(f"the durable consumer {self.durable.name} does not answer: {status} {description}")
            self._heard(self.durable.topic, why)
        elif status == _REFUSED_STATUS or any(sign in told for sign in _REFUSED):
            why = UnreachableError(
                f"the durable consumer {self.durable.name} refuses to be pulled from: {status} {description}; "
                f"choose another group, or delete it to have it made anew"
            )
            self._heard(self.durable.topic, why)
