"""*Audit*: who changed what."""

from __future__ import annotations

from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.page import PagePath, Seen, Values, WebPage
from asyncflow.scheduler import Audit
from asyncflow.scheduler.operator.selection import task_id_of

_MOST = 200


def _look(desk: Desk, values: Values) -> Seen:
    task_id = task_id_of(values["task"]) if "task" in values else None
    entries = Audit(desk.engine, desk.outbox).entries(task_id=task_id, limit=_MOST)
    return {"entries": entries, "task_id": task_id, "most": _MOST}


PAGES = (WebPage(place=PagePath("audit"), template="audit.html", look=_look, asks=("task",)),)
