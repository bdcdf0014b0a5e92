"""*Audit*: who changed what, page by page."""

from __future__ import annotations

from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.page import PagePath, Seen, Values, WebPage
from asyncflow.scheduler import Audit
from asyncflow.scheduler.operator.selection import task_id_of

_MOST = 100


def _look(desk: Desk, values: Values) -> Seen:
    task_id = task_id_of(values["task"]) if "task" in values else None
    page = Audit(desk.engine, desk.outbox).page(task_id=task_id, limit=_MOST, after=values.get("after"))
    return {"entries": page.entries, "next": page.next, "task_id": task_id, "asked": values}


PAGES = (WebPage(place=PagePath("audit"), template="audit.html", look=_look, asks=("task", "after")),)
