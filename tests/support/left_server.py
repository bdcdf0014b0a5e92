"""A server that a service has moved away from: sessions that are still open there take no writes any more."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from sqlalchemy import Connection, Engine, event

READ_ONLY = {
    "mysql": ["SET SESSION TRANSACTION READ ONLY"],
    "postgresql": ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET TRANSACTION READ ONLY"],
}


class LeftServer:
    """Number the sessions of an engine; let those that are open refuse what writes, once they are left."""

    def __init__(self, engine: Engine) -> None:
        self.sessions: set[int] = set()
        self._statements = READ_ONLY[engine.dialect.name]
        self._left: set[int] = set()
        event.listen(engine, "connect", self._note)
        event.listen(engine, "before_cursor_execute", self._refuse)

    def leave(self) -> None:
        """Let every session that is open now refuse what writes, and those to come take it."""
        self._left = set(self.sessions)

    def _note(self, connection: Any, record: Any) -> None:
        record.info["number"] = len(self.sessions)
        self.sessions.add(len(self.sessions))

    def _refuse(self, connection: Connection, *_: Any) -> None:
        if connection.info["number"] in self._left:
            with closing(connection.connection.cursor()) as cursor:
                for statement in self._statements:
                    cursor.execute(statement)
