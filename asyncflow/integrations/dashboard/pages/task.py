"""*Task*: all of one task, why it has not happened, what became of each attempt; and what mends it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from sqlalchemy import Connection

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.door.person import Role
from asyncflow.integrations.dashboard.page import Deed, Form, PagePath, Seen, Values, WebPage
from asyncflow.integrations.dashboard.payloads import (
    ShownPayload,
    context_shown,
    difference,
    payload_mended,
    payload_shown,
)
from asyncflow.integrations.dashboard.settings import TRACE_ID
from asyncflow.outbox import Status
from asyncflow.outbox.look_up.task_rows import Filter, TaskPage
from asyncflow.scheduler import Audit, AuditEntry, DeadLetters, Selection
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.diagnosis.explain import explain
from asyncflow.scheduler.operator.selection import task_id_of
from asyncflow.scheduler.operator.task_view import TaskState, TaskView

_LINE = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z (.*)$")
_BY = re.compile(r"^(replay|mend|cancel) by ")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_NO_TRACE = "0" * 32
_SIBLINGS = 20
_MOST_ENTRIES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Tell one thing that happened to a task; ``detail`` may have many lines."""

    at: datetime | None
    what: str
    detail: str = ""
    kind: str = field(default="")


def _look(desk: Desk, values: Values) -> Seen:
    task_id = task_id_of(values["task_id"])
    state = DeadLetters(desk.engine, desk.outbox).inspect(task_id)
    entries = Audit(desk.engine, desk.outbox).entries(task_id=task_id, limit=_MOST_ENTRIES)
    shown = payload_shown(state.payload, desk.redaction)
    if state.hidden is not None:
        shown = ShownPayload("encrypted", state.hidden, 0, is_whole=True)
    return {
        "state": state,
        "status": Status(state.status).name,
        "explanation": explain(desk.engine, desk.outbox, task_id),
        "headers": desk.redaction.of_headers(state.headers),
        "trace": trace_of(state.headers, desk.trace_url),
        "context": None if state.context is None else context_shown(state.context, desk.redaction),
        "payload": shown,
        "payload_mark": _mark_of(state.payload),
        "timeline": timeline(state, entries),
        "siblings": _siblings(desk, state.key) if state.key is not None else None,
    }


def trace_of(headers: Mapping[str, str], trace_url: str | None) -> str | None:
    """Return where the trace of a task is looked at; None if it has none, or nobody said where."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
    if trace_url is None or found is None or found[1] == _NO_TRACE:
        return None
    return trace_url.replace(TRACE_ID, found[1])


def timeline(state: TaskState, entries: Sequence[AuditEntry]) -> list[Moment]:
    """Return what is known to have happened, the latest first: the log's lines are written by workers' clocks."""
    found = [Moment(at=state.created_at, what="enqueued")]
    for line in state.log.splitlines():
        told = _LINE.match(line)
        if told is not None and _BY.match(told[2]):
            continue  # the audit tells it, with more
        at = None if told is None else datetime.fromisoformat(told[1]).replace(tzinfo=timezone.utc)
        found.append(Moment(at=at, what="error", detail=line if told is None else told[2], kind="error"))
    for entry in entries:
        told_why = "\n".join(filter(None, (entry.reason, entry.detail)))
        found.append(Moment(at=entry.at, what=entry.action, detail=f"{entry.actor}\n{told_why}".strip(), kind="act"))
    if state.status in (Status.SUCCESS, Status.CANCELLED):
        found.append(Moment(at=state.modified_at, what=Status(state.status).name.lower()))
    oldest = datetime.min.replace(tzinfo=timezone.utc)
    return sorted(found, key=lambda one: one.at or oldest, reverse=True)


def _siblings(desk: Desk, key: str) -> TaskPage:
    def read(connection: Connection) -> TaskPage:
        return TaskView(desk.outbox).page(connection, Filter(key=key), _SIBLINGS, None)

    return run_briefly(desk.engine, read)


def _replay(desk: Desk, form: Form) -> str:
    DeadLetters(desk.engine, desk.outbox).replay(_one(form), actor=form.person.name, reason=form.reason)
    return _back(form)


def _cancel(desk: Desk, form: Form) -> str:
    DeadLetters(desk.engine, desk.outbox).cancel(_one(form), actor=form.person.name, reason=form.reason)
    return _back(form)


def _discard(desk: Desk, form: Form) -> str:
    DeadLetters(desk.engine, desk.outbox).discard(_one(form), actor=form.person.name, reason=form.reason)
    return f"audit?task={task_id_of(form.values['task_id'])}"


def _mend(desk: Desk, form: Form) -> str:
    """Replay a dead letter with another payload, if it still has the one that was shown."""
    letters = DeadLetters(desk.engine, desk.outbox)
    state = letters.inspect(form.values["task_id"])
    if state.payload is None or _mark_of(state.payload) != form.one("seen") or state.status is not Status.FAILED:
        raise OptionError("the task is another by now; look at it again, and mend it anew")
    mended = payload_mended(form.raw("payload"), state.payload, desk.redaction)
    if mended == state.payload:
        raise OptionError("the payload is as it was; change it, or replay it as it is")
    detail = difference(state.payload, mended, desk.redaction)
    letters.mend(state.task_id, mended, seen=state.payload, detail=detail, actor=form.person.name, reason=form.reason)
    return _back(form)


def _one(form: Form) -> Selection:
    return Selection(ids=[form.values["task_id"]])


def _back(form: Form) -> str:
    return f"task/{task_id_of(form.values['task_id'])}"


def _mark_of(payload: bytes | None) -> str:
    return hashlib.sha256(payload or b"").hexdigest()


_TASK = "task/{task_id}"
PAGES = (WebPage(place=PagePath(_TASK), template="task.html", look=_look),)
DEEDS = (
    Deed(place=PagePath(f"{_TASK}/replay"), role=Role.OPERATOR, do=_replay),
    Deed(place=PagePath(f"{_TASK}/cancel"), role=Role.OPERATOR, do=_cancel),
    Deed(place=PagePath(f"{_TASK}/discard"), role=Role.ADMIN, do=_discard),
    Deed(place=PagePath(f"{_TASK}/mend"), role=Role.ADMIN, do=_mend),
)
