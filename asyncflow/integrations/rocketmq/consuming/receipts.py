"""The messages that a consumer holds, by the receipts with which they are acknowledged or kept."""

from __future__ import annotations

import threading


class Receipt:
    """Hold one message's receipt, which each extension replaces; changed by the thread that holds ``lock``."""

    def __init__(self, topic: str, message_id: str, handle: str) -> None:
        self.topic = topic
        self.message_id = message_id
        self.handle = handle
        self.lock = threading.Lock()
        self.is_done = False

    def extend(self, handle: str) -> None:
        """Know the receipt that takes the place of this one."""
        self.handle = handle

    def finish(self) -> None:
        """Know that the message is acknowledged: it is not to be kept any more."""
        self.is_done = True


class Receipts:
    """Know which messages are held; any thread may ask, and change it."""

    def __init__(self) -> None:
        self._held: dict[int, Receipt] = {}
        self._lock = threading.Lock()

    def add(self, receipt: Receipt) -> None:
        """Hold a message."""
        with self._lock:
            self._held[id(receipt)] = receipt

    def remove(self, receipt: Receipt) -> None:
        """Hold a message no more."""
        with self._lock:
            self._held.pop(id(receipt), None)

    def all(self) -> list[Receipt]:
        """Return what is held."""
        with self._lock:
            return list(self._held.values())
