"""The entries that a member of a group holds."""

from __future__ import annotations

import threading


class InHand:
    """Know which entries are held; any thread may ask, and change it."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[str, None]] = {}
        self._lock = threading.Lock()

    def add(self, stream: str, id_: str) -> bool:
        """Hold an entry; return whether it was not held before."""
        with self._lock:
            ids = self._ids.setdefault(stream, {})
            is_new = id_ not in ids
            ids[id_] = None
            return is_new

    def remove(self, stream: str, id_: str) -> None:
        """Hold an entry no more."""
        with self._lock:
            self._ids.get(stream, {}).pop(id_, None)

    def by_stream(self) -> list[tuple[str, list[str]]]:
        """Return what is held of each stream of which something is."""
        with self._lock:
            return [(stream, list(ids)) for stream, ids in self._ids.items() if ids]
