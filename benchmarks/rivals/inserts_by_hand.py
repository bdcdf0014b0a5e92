"""The insert of a task as one would write it by hand: the least that does it.

Plain types, the process's own clock, and a statement that is made once.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import orjson
import uuid_utils
from sqlalchemy import BINARY, Column, Integer, LargeBinary, MetaData, SmallInteger, String, Table, Text, insert
from sqlalchemy.dialects.mysql import DATETIME

from benchmarks.ground import TASK_TYPE


class InsertByHand:
    """Make the statement for one table, and the row of each message with the same payload."""

    def __init__(self, table: str, payload: Any) -> None:
        self.statement = insert(Table(table, MetaData(), *_columns()))
        self._payload = payload

    def row(self, number: int) -> dict[str, Any]:
        """Return the values of a message of account ``number``."""
        now, task_id = datetime.now(timezone.utc).replace(tzinfo=None), uuid_utils.uuid7()
        return {
            "id": task_id.bytes,
            "task_type": TASK_TYPE,
            "task_key": f"A{number}",
            "shard": task_id.int % 64,
            "status": 0,
            "priority": 0,
            "order_time": now,
            "next_select_time": now,
            "retry_count": 0,
            "max_retries": 10,
            "headers": None,
            "payload": orjson.dumps(self._payload),
            "schedule_log": None,
            "created_at": now,
            "modified_at": now,
        }


def _columns() -> list[Column[Any]]:
    kinds: dict[str, Any] = {
        "task_type": String(100),
        "task_key": String(255),
        "shard": SmallInteger,
        "status": SmallInteger,
        "priority": Integer,
        "order_time": DATETIME(fsp=6),
        "next_select_time": DATETIME(fsp=6),
        "retry_count": Integer,
        "max_retries": Integer,
        "headers": Text,
        "payload": LargeBinary,
        "schedule_log": Text,
        "created_at": DATETIME(fsp=6),
        "modified_at": DATETIME(fsp=6),
    }
    return [Column("id", BINARY(16), primary_key=True), *(Column(name, kind) for name, kind in kinds.items())]
