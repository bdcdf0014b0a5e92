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

    @property
    def place(self) -> tuple[str, str]:
        """Return which message it is for."""
        return self.topic, self.message_id

    def extend(self, handle: str) -> None:
        """Know the receipt that takes the place of this one."""
        self.handle = handle

    def finish(self) -> None:
        """Know that the message is acknowledged: it is not to be kept any more."""
        self.is_done = True


class Receipts:
    """Know which messages are held, and by which receipts; any thread may ask, and change it.

    A message may be held by several: it was sent twice, or it came again as it was kept too late.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], list[Receipt]] = {}
        self._lock = threading.Lock()

    def add(self, receipt: Receipt) -> bool:
        """Hold a message by one receipt more; return whether it was not held before."""
        with self._lock:
            is_new = receipt.place not in self._held
            self._held.setdefault(receipt.place, []).append(receipt)
            return is_new

    def remove(self, receipt: Receipt) -> None:
        """Hold the message by this receipt no more; others of it come."""
        with self._lock:
            if receipt.place in self._held:  # else it was released meanwhile, and may come again
                self._held[receipt.place] = [one for one in self._held[receipt.place] if one is not receipt]

    def release(self, receipt: Receipt) -> list[Receipt]:
        """Hold the message no more; return by which receipts it was held."""
        with self._lock:
            return self._held.pop(receipt.place, [])

    def all(self) -> list[Receipt]:
        """Return all of them."""
        with self._lock:
            return [receipt for receipts in self._held.values() for receipt in receipts]
