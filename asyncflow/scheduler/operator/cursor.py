"""Where a list or a walk goes on: as an object, and as text for outside."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timezone
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Row

from asyncflow.errors import OptionError
from asyncflow.outbox.status import Status
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.text import shown

_MOST_SHARDS = 2**15


class Cursor(NamedTuple):
    """Mark a row by where it stands in the index that is followed; what follows comes behind it."""

    status: int
    task_type: str
    shard: int
    moment: datetime  # order_time; along a key created_at, and the fields before are nothing
    id: UUID

    @classmethod
    def along_key(cls, row: Row[Any]) -> Cursor:
        """Return the cursor of a row in the order of the enqueueing of its key."""
        return cls(0, "", 0, row.created_at, row.id)

    @property
    def lane(self) -> Lane:
        """Return the lane in which the row stands."""
        return self.task_type, self.shard

    def as_text(self) -> str:
        """Return a text for outside, of which ``cursor_of`` makes the cursor again."""
        parts = [self.status, self.task_type, self.shard, self.moment.isoformat(), str(self.id)]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def cursor_of(text: str, option: str) -> Cursor:
    """Return the cursor of a text; raises OptionError, which names the ``option``, for one that was made elsewhere."""
    try:
        padded = text + "=" * (-len(text) % 4)
        status, task_type, shard, moment, task_id = orjson.loads(base64.b64decode(padded, b"-_", validate=True))
        parsed = datetime.fromisoformat(moment)
        if not isinstance(task_type, str) or "\0" in task_type or type(shard) is not int or parsed.tzinfo is None:
            raise ValueError
        if not 0 <= shard < _MOST_SHARDS:
            raise ValueError
        return Cursor(Status(status), task_type, shard, parsed.astimezone(timezone.utc), UUID(task_id))
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error):
        raise OptionError(f"{option} is {shown(text)}; give what the page before had as next") from None
