"""What receivers do not take for now, while one batch is delivered."""

from __future__ import annotations

import asyncio

from asyncflow.integrations.webhooks.addresses import Address
from asyncflow.scheduler.publishing.publisher import Unavailable


class Receiver:
    """Know of one host what is not tried further: all of it, or one of its URLs; made for one delivery.

    ``room`` bounds how many requests it is sent at once.
    """

    def __init__(self, concurrency: int) -> None:
        self.room = asyncio.Semaphore(concurrency)
        self._away: Unavailable | None = None
        self._shut: dict[str, Unavailable] = {}

    def away(self, address: Address) -> Unavailable | None:
        """Return why nothing more is sent to the address, None if something is."""
        return self._away or self._shut.get(address.url)

    def leave(self, address: Address, why: Unavailable, *, is_of_host: bool) -> None:
        """Send nothing more in this delivery: to the URL, or to the whole host."""
        if is_of_host:
            self._away = why
        else:
            self._shut[address.url] = why
