"""*Search*: tasks by id, key, type, status and time, along indexes alone, page by page."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.page import PagePath, Seen, Values, WebPage
from asyncflow.outbox import Status
from asyncflow.outbox.look_up.cursor import cursor_of
from asyncflow.outbox.look_up.key_rows import TimeSpan
from asyncflow.outbox.look_up.task_rows import Filter
from asyncflow.outbox.look_up.time_rows import TimeRows
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator.selection import task_id_of
from asyncflow.scheduler.operator.task_view import TaskView

_MOST = 50
_ASKS = ("id", "key", "type", "status", "since", "until", "after")
_STATUSES: Mapping[str, Status] = {status.name.lower(): status for status in Status}


def _look(desk: Desk, values: Values) -> Seen:
    chosen = Filter(task_type=values.get("type"), status=_status(values), key=values.get("key"))
    rows, following = _found(desk, values, chosen)
    return {"rows": rows, "next": following, "asked": values, "statuses": list(_STATUSES), "names": _names(desk)}


def _found(desk: Desk, values: Values, chosen: Filter) -> tuple[Sequence[Any], str | None]:
    if "id" in values:
        task_id = task_id_of(values["id"])
        found = run_briefly(desk.engine, lambda c: TaskView(desk.outbox).states(c, [task_id]))
        return list(found.values()), None
    of: Hashable = ("search", chosen, values.get("since"), values.get("until"))
    after = None if "after" not in values else cursor_of(values["after"], "after", of)
    along_time = chosen.key is None and (chosen == Filter() or "since" in values or "until" in values)

    def read(connection: Connection) -> Any:
        if along_time:
            span = TimeSpan(_moment(values, "since"), _moment(values, "until"), newest_first=True)
            return TimeRows(desk.outbox.shelf, TaskView(desk.outbox), chosen, span).page(connection, after, _MOST)
        return TaskView(desk.outbox).page(connection, chosen, _MOST, after)

    page = run_briefly(desk.engine, read)
    return page.rows, None if page.next is None else page.next.as_text(of)


def _status(values: Values) -> Status | None:
    name = values.get("status")
    if name is not None and name not in _STATUSES:
        raise OptionError(f"status is {name!r:.60}; give one of {', '.join(_STATUSES)}")
    return None if name is None else _STATUSES[name]


def _moment(values: Values, name: str) -> datetime | None:
    text = values.get(name)
    try:
        found = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise OptionError(f"{name} is {text!r:.60}; give such as 2030-01-31T03:00, in UTC") from None
    return None if found is None else (found if found.tzinfo else found.replace(tzinfo=timezone.utc))


def _names(desk: Desk) -> list[str]:
    return sorted({*desk.outbox.task_types, *desk.outbox.handler_types})


PAGES = (WebPage(place=PagePath("search"), template="search.html", look=_look, asks=_ASKS, live_seconds=0),)
