"""What is looked for, and whether an index leads to it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from asyncflow.errors import InvalidKeyError, InvalidTaskTypeError, OptionError
from asyncflow.outbox.look_up.cursor import Cursor, cursor_of
from asyncflow.outbox.look_up.key_rows import TimeSpan
from asyncflow.outbox.look_up.task_rows import Filter
from asyncflow.outbox.options import require_flag, require_whole
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import KEY_LENGTH, TASK_TYPE_LENGTH
from asyncflow.text import require_text, shown

if TYPE_CHECKING:
    from asyncflow.outbox.declarations.task_type import TaskType

MOST = 500  # tasks of a page, and ids of a question
_PAGE = 100
_ALONG_TIME = ("since", "until", "newest_first")


class SearchOptions(TypedDict, total=False):
    """Name what is given to ``find``, with its types."""

    ids: Iterable[UUID | str] | None
    key: str | None
    task_type: Callable[..., Any] | TaskType | str | None
    status: Status | None
    since: datetime | None
    until: datetime | None
    newest_first: bool
    limit: int | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class TaskSearch:
    """Name tasks by their ids, or choose them by what an index has; None chooses all.

    Raises OptionError, InvalidKeyError or InvalidTaskTypeError, also for what no index leads to.
    """

    ids: Iterable[UUID | str] | None = None
    key: str | None = None
    task_type: str | None = None
    status: Status | None = None
    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = False
    limit: int | None = None
    after: str | None = None

    def __post_init__(self) -> None:
        if self.key is not None:
            require_text("key", self.key, KEY_LENGTH, InvalidKeyError)
        if self.task_type is not None:
            require_text("task_type", self.task_type, TASK_TYPE_LENGTH, InvalidTaskTypeError)
        require_flag("newest_first", self.newest_first)
        if self.limit is not None:
            require_whole("limit", self.limit, 1, MOST)
        self._set(status=_status(self.status), since=_moment("since", self.since), until=_moment("until", self.until))
        if self.ids is not None:
            self._require_ids_alone()
            self._set(ids=_ids(self.ids))
        self._require_span()
        self._require_index()
        self._set(_cursor=None if self.after is None else self._read_cursor(self.after))

    @property
    def wanted_ids(self) -> tuple[UUID, ...] | None:
        """Return the ids, each once, if tasks are named by them."""
        return self.ids  # type: ignore[return-value] # of what was given, since it was checked

    @property
    def chosen(self) -> Filter:
        """Return what a row must be."""
        return Filter(task_type=self.task_type, status=self.status, key=self.key)

    @property
    def span(self) -> TimeSpan:
        """Return the stretch of time."""
        return TimeSpan(self.since, self.until, self.newest_first)

    @property
    def is_along_time(self) -> bool:
        """Tell whether the tasks are read along their ids: there is nothing else to go by, or a time."""
        return self.key is None and (not self._filters() or self.since is not None)

    @property
    def cursor(self) -> Cursor | None:
        """Return behind what to read on; None: from the first."""
        found: Cursor | None = self.__dict__["_cursor"]
        return found

    @property
    def most(self) -> int:
        """Return how many tasks a page holds at most."""
        return _PAGE if self.limit is None else self.limit

    def next(self, cursor: Cursor | None) -> str | None:
        """Return what the page behind the cursor is asked for with."""
        return None if cursor is None else cursor.as_text(self._list)

    @property
    def _list(self) -> Hashable:
        span = tuple(None if moment is None else moment.isoformat() for moment in (self.since, self.until))
        status = None if self.status is None else int(self.status)
        return ("find", self.key, self.task_type, status, span, self.newest_first)

    def _read_cursor(self, text: Any) -> Cursor:
        if not isinstance(text, str):
            raise OptionError(f"after is {shown(text)}; give what the page before of this list had as next")
        return cursor_of(text, "after", self._list)

    def _filters(self) -> list[str]:
        return [name for name in ("task_type", "status") if getattr(self, name) is not None]

    def _given(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if getattr(self, name) not in (None, False)]

    def _require_ids_alone(self) -> None:
        if others := self._given(("key", "task_type", "status", *_ALONG_TIME, "limit", "after")):
            raise OptionError(f"ids is given with {', '.join(others)}: ids name their tasks; give them alone")

    def _require_span(self) -> None:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise OptionError(
                f"since is {self.since.isoformat()} and until {self.until.isoformat()}, so no task can be between; "
                f"give a since that is before until"
            )

    def _require_index(self) -> None:
        """Raise OptionError for what would be found by reading the table: it ends nowhere, or is sorted by nothing."""
        filters, time = self._filters(), self._given(_ALONG_TIME)
        if self.key is None and filters and time and self.since is None:
            raise OptionError(
                f"{time[0]} is given with {' and '.join(filters)}, but no index has those by time: all tasks of the "
                f"table would be read; give since, or a key, or leave {' and '.join(time)} out"
            )

    def _set(self, **values: Any) -> None:
        self.__dict__.update(values)  # frozen for everybody else


def _status(given: Any) -> Status | None:
    if given is None or isinstance(given, Status):
        return given
    raise OptionError(f"status is {shown(given)}; give one of {', '.join(f'Status.{one.name}' for one in Status)}")


def _moment(name: str, given: Any) -> datetime | None:
    if given is None:
        return None
    if not isinstance(given, datetime) or given.tzinfo is None or given.utcoffset() is None:
        raise OptionError(f"{name} is {shown(given)}; give a datetime with a time zone, as datetime.now(timezone.utc)")
    try:
        return given.astimezone(timezone.utc)
    except OverflowError:
        raise OptionError(f"{name} is {shown(given)}, which is no moment of the years 1 to 9999 in UTC") from None


def _ids(given: Any) -> tuple[UUID, ...]:
    if isinstance(given, (str, bytes, UUID)) or not isinstance(given, Iterable):
        raise OptionError(f"ids is {shown(given)}; give a list of task ids")
    ids = list(islice(given, MOST + 1))
    if len(ids) > MOST:
        raise OptionError(f"ids holds more than {MOST} ids; ask for them in several calls")
    return tuple(dict.fromkeys(map(_id, ids)))


def _id(given: Any) -> UUID:
    try:
        return given if isinstance(given, UUID) else UUID(given)
    except (ValueError, TypeError, AttributeError):
        raise OptionError(f"ids holds {shown(given)}; give UUIDs, such as enqueue() returned") from None
