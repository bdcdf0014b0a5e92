"""What passes between a client and its database: where a COMMIT goes by, in the protocols of MySQL and PostgreSQL."""

from __future__ import annotations

import re
from typing import Protocol

_WRITE = re.compile(
    rb"\s*(INSERT|UPDATE|DELETE|REPLACE|WITH\b.*\b(?:INSERT|UPDATE|DELETE)\b)", re.IGNORECASE | re.DOTALL
)
_COMMIT = re.compile(rb"\s*COMMIT\s*;?\s*$", re.IGNORECASE)
_AUTOCOMMIT = re.compile(rb"\s*SET\s+(?:SESSION\s+)?AUTOCOMMIT\s*=\s*(\d)", re.IGNORECASE)
_NO_ENCRYPTION = frozenset({80877103, 80877104})  # SSLRequest, GSSENCRequest
_COM_QUERY = 3


class Wire(Protocol):
    """Read along in one connection; used by its two threads, each for its own direction."""

    def sent(self, data: bytes) -> int:
        """Take in what the client sent; return how many of its commits end in there."""
        ...

    def answered(self, data: bytes) -> bool:
        """Take in what the server sent; tell whether its answer is whole."""
        ...

    def reply_to(self, data: bytes) -> bytes | None:
        """Return what the proxy itself answers instead of the server; None for nothing."""
        ...


class MySQLWire:
    """Know COMMITs, and the writes of a connection in autocommit mode, which are commits themselves."""

    def __init__(self) -> None:
        self._received = b""
        self._is_autocommit = False

    def sent(self, data: bytes) -> int:
        self._received += data
        commits = 0
        while len(self._received) >= 4:
            end = 4 + int.from_bytes(self._received[:3], "little")
            if len(self._received) < end:
                break
            packet, self._received = self._received[4:end], self._received[end:]
            commits += self._is_commit(packet)
        return commits

    def answered(self, data: bytes) -> bool:
        return True  # an OK packet is too short to come in parts

    def reply_to(self, data: bytes) -> bytes | None:
        return None

    def _is_commit(self, packet: bytes) -> bool:
        if not packet or packet[0] != _COM_QUERY:
            return False
        text = packet[1:]
        if (mode := _AUTOCOMMIT.match(text)) is not None:
            self._is_autocommit = mode[1] == b"1"
        return bool(_COMMIT.match(text)) or (self._is_autocommit and bool(_WRITE.match(text)))


class PostgreSQLWire:
    """Know COMMITs, and writes outside of a transaction, which are commits themselves; there is no encryption."""

    def __init__(self) -> None:
        self._received = b""
        self._answer = b""
        self._has_begun = False
        self._is_idle = True

    def reply_to(self, data: bytes) -> bytes | None:
        is_request = len(data) == 8 and int.from_bytes(data[4:8], "big") in _NO_ENCRYPTION
        return b"N" if is_request and not self._has_begun else None

    def sent(self, data: bytes) -> int:
        self._received += data
        commits = 0
        while (message := self._next_message()) is not None:
            kind, body = message
            text = body if kind == b"Q" else body.partition(b"\0")[2] if kind == b"P" else b""
            text = text.partition(b"\0")[0]
            commits += bool(_COMMIT.match(text)) or (self._is_idle and bool(_WRITE.match(text)))
        return commits

    def answered(self, data: bytes) -> bool:
        self._answer = (self._answer + data)[-6:]
        is_whole = self._answer[:5] == b"Z\0\0\0\5"
        if is_whole:
            self._is_idle = self._answer[5:6] == b"I"
        return is_whole

    def _next_message(self) -> tuple[bytes, bytes] | None:
        head = 1 if self._has_begun else 0
        if len(self._received) < head + 4:
            return None
        end = head + int.from_bytes(self._received[head : head + 4], "big")
        if len(self._received) < end:
            return None
        message = self._received[:head], self._received[head + 4 : end]
        self._received = self._received[end:]
        self._has_begun = True
        return message


WIRES: dict[str, type[MySQLWire] | type[PostgreSQLWire]] = {
    "mysql": MySQLWire,
    "mariadb": MySQLWire,
    "postgresql": PostgreSQLWire,
}
