"""How late this machine is, measured beside what has to be in time."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from sqlalchemy import Engine, text

_PAUSE_SECONDS = 0.05


class Lateness:
    """Sleep and ask the database, again and again, as an instance does; ``worst`` is by how much that took longer."""

    def __init__(self, engine: Engine) -> None:
        self.worst = 0.0
        self._engine = engine
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> Lateness:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _measure(self) -> None:
        with self._engine.connect() as connection:
            while not self._ended.is_set():
                began = time.monotonic()
                time.sleep(_PAUSE_SECONDS)
                connection.execute(text("SELECT 1"))
                self.worst = max(self.worst, time.monotonic() - began - _PAUSE_SECONDS)
