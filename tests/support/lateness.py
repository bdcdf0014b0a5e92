"""How late this machine is, measured beside what has to be in time."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from sqlalchemy import Connection, Engine, text

_PAUSE_SECONDS = 0.05
_TABLE = "lateness"
_SHORT_SECONDS = 0.01


class Standstill:
    """Sleep shortly, again and again; ``seconds`` is by how much all that took longer: this process had no turn."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> Standstill:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _measure(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            time.sleep(_SHORT_SECONDS)
            self.seconds += time.monotonic() - began - _SHORT_SECONDS


class Lateness:
    """Sleep and ask the database, again and again, as an instance does; ``worst`` is by how much that took longer.

    With ``writes`` it writes as well, into a table of its own: a disk may stand still as well as a processor.
    """

    def __init__(self, engine: Engine, *, writes: bool = False) -> None:
        self.worst = 0.0
        self._engine = engine
        self._writes = writes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> Lateness:
        if self._writes:
            with self._engine.begin() as connection:
                connection.execute(text(f"CREATE TABLE {_TABLE} (n INTEGER PRIMARY KEY)"))
                connection.execute(text(f"INSERT INTO {_TABLE} VALUES (1)"))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._writes:
            with self._engine.begin() as connection:
                connection.execute(text(f"DROP TABLE {_TABLE}"))

    def _measure(self) -> None:
        with self._engine.connect() as connection:
            while not self._ended.is_set():
                began = time.monotonic()
                time.sleep(_PAUSE_SECONDS)
                self._ask(connection)
                self.worst = max(self.worst, time.monotonic() - began - _PAUSE_SECONDS)

    def _ask(self, connection: Connection) -> None:
        connection.execute(text(f"UPDATE {_TABLE} SET n = n + 1" if self._writes else "SELECT 1"))
        connection.commit()
