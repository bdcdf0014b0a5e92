"""Where a list or a walk goes on: as an object, and as text for outside, which goes on with one list alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Hashable
from datetime import datetime, timezone
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Row

from asyncflow.errors import OptionError
from asyncflow.outbox.status import Status
from asyncflow.text import shown

_MOST_SHARDS = 2**15
_FIRST_ID = UUID(int=0)
LAST_ID = UUID(int=2**128 - 1)


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

    @classmethod
    def along_index(cls, row: Row[Any]) -> Cursor:
        """Return the cursor of a row in the order of the index of states."""
        return cls(row.status, row.task_type, row.shard, row.order_time, row.id)

    @classmethod
    def before(cls, moment: datetime) -> Cursor:
        """Return the cursor along a key between what was enqueued before a moment, and what then or later."""
        return cls(0, "", 0, moment, _FIRST_ID)

    @classmethod
    def past_unwanted(cls, last: Cursor, given: Row[Any] | None, *, newest_first: bool = False) -> Cursor:
        """Return the cursor behind the ``last`` row of a key that was looked at, which is none for the caller.

        It tells that row's moment and not its id; of the rows of that moment those behind the one ``given`` last, if
        that is one of them, are looked at once more.
        """
        is_of_moment = given is not None and given.created_at == last.moment
        nothing_read = LAST_ID if newest_first else _FIRST_ID
        return last._replace(id=given.id if given is not None and is_of_moment else nothing_read)

    def as_text(self, of: Hashable) -> str:
        """Return a text for outside, of which ``cursor_of`` makes the cursor again; ``of`` tells the list."""
        parts = [self.status, self.task_type, self.shard, self.moment.isoformat(), str(self.id), _mark(of)]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def _mark(of: Hashable) -> str:
    # Against mistakes, not against malice: what a caller may see is looked at again in any case.
    return hashlib.blake2b(repr(of).encode(errors="backslashreplace"), digest_size=8).hexdigest()


def cursor_of(text: str, option: str, of: Hashable) -> Cursor:
    """Return the cursor of a text; raises OptionError, which names the ``option``, for one of another list."""
    try:
        padded = text + "=" * (-len(text) % 4)
        parts = orjson.loads(base64.b64decode(padded, b"-_", validate=True))
        status, task_type, shard, moment, task_id, mark = parts
        parsed = datetime.fromisoformat(moment)
        if not isinstance(task_type, str) or "\0" in task_type or type(shard) is not int or parsed.tzinfo is None:
            raise ValueError
        if not 0 <= shard < _MOST_SHARDS or mark != _mark(of):
            raise ValueError
        return Cursor(Status(status), task_type, shard, parsed.astimezone(timezone.utc), UUID(task_id))
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error):
        raise OptionError(f"{option} is {shown(text)}; give what the page before of this list had as next") from None
