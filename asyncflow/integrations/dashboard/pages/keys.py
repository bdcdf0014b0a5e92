"""*Keys parked*: the keys of ordered types that wait for one of their tasks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.page import PagePath, Seen, Values, WebPage
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.diagnosis import queries
from asyncflow.scheduler.table.queries import read_clock

_MOST = 200


def _look(desk: Desk, _: Values) -> Seen:
    def read(connection: Connection) -> tuple[Any, Any]:
        rows = connection.execute(queries.parked(desk.outbox.parked_keys), {"most": _MOST + 1}).all()
        return rows, connection.execute(read_clock()).scalar_one()

    rows, now = run_briefly(desk.engine, read)
    return {"rows": rows[:_MOST], "is_more": len(rows) > _MOST, "most": _MOST, "now": now}


PAGES = (WebPage(place=PagePath("keys"), template="keys.html", look=_look),)
