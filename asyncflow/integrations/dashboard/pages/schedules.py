"""*Jobs* and *Periodic*: what runs at which times; it is called and paused here, and items are switched off."""

from __future__ import annotations

from urllib.parse import urlencode

import orjson

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.door.person import Role
from asyncflow.integrations.dashboard.page import Deed, Form, PagePath, Seen, Values, WebPage
from asyncflow.scheduler.operator.by_hand.triggers import Triggers
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.operator.schedules import Schedules


def _look_at_jobs(desk: Desk, _: Values) -> Seen:
    return {"jobs": Schedules(desk.engine, desk.outbox).jobs()}


def _look_at_job(desk: Desk, values: Values) -> Seen:
    job = Schedules(desk.engine, desk.outbox).job(values.get("name", ""))
    items = Instances(desk.engine, desk.outbox).shards(job.name)
    dump = orjson.dumps({"job": job, "items": items}, default=str, option=orjson.OPT_INDENT_2).decode()
    return {"job": job, "items": items, "dump": dump}


def _look_at_periodic(desk: Desk, _: Values) -> Seen:
    return {"rows": Schedules(desk.engine, desk.outbox).periodic()}


def _pause(desk: Desk, form: Form) -> str:
    Schedules(desk.engine, desk.outbox).pause(form.one("name"), actor=form.person.name, reason=form.reason)
    return _job(form)


def _resume(desk: Desk, form: Form) -> str:
    Schedules(desk.engine, desk.outbox).resume(form.one("name"), actor=form.person.name, reason=form.reason)
    return _job(form)


def _trigger(desk: Desk, form: Form) -> str:
    Triggers(desk.engine, desk.outbox).run_job(form.one("name"), actor=form.person.name, reason=form.reason)
    return _job(form)


def _trigger_periodic(desk: Desk, form: Form) -> str:
    Triggers(desk.engine, desk.outbox).periodic_now(form.one("name"), actor=form.person.name, reason=form.reason)
    return "periodic"


def _pause_periodic(desk: Desk, form: Form) -> str:
    Triggers(desk.engine, desk.outbox).pause_periodic(form.one("name"), actor=form.person.name, reason=form.reason)
    return "periodic"


def _resume_periodic(desk: Desk, form: Form) -> str:
    Triggers(desk.engine, desk.outbox).resume_periodic(form.one("name"), actor=form.person.name, reason=form.reason)
    return "periodic"


def _switch_item(desk: Desk, form: Form) -> str:
    number = form.one("item")
    if not number.isdecimal():
        raise OptionError(f"item is {number!r:.60}; give its number")
    who = {"actor": form.person.name, "reason": form.reason}
    off = form.one("off") == "1"
    Schedules(desk.engine, desk.outbox).switch_item(form.one("name"), int(number), off=off, **who)
    return _job(form)


def _job(form: Form) -> str:
    return f"job?{urlencode({'name': form.one('name')})}"


PAGES = (
    WebPage(place=PagePath("jobs"), template="jobs.html", look=_look_at_jobs),
    WebPage(place=PagePath("job"), template="job.html", look=_look_at_job, asks=("name",)),
    WebPage(place=PagePath("periodic"), template="periodic.html", look=_look_at_periodic),
)
DEEDS = (
    Deed(place=PagePath("jobs/pause"), role=Role.OPERATOR, do=_pause),
    Deed(place=PagePath("jobs/resume"), role=Role.OPERATOR, do=_resume),
    Deed(place=PagePath("jobs/trigger"), role=Role.OPERATOR, do=_trigger),
    Deed(place=PagePath("periodic/trigger"), role=Role.OPERATOR, do=_trigger_periodic),
    Deed(place=PagePath("periodic/pause"), role=Role.OPERATOR, do=_pause_periodic),
    Deed(place=PagePath("periodic/resume"), role=Role.OPERATOR, do=_resume_periodic),
    Deed(place=PagePath("jobs/item"), role=Role.OPERATOR, do=_switch_item),
)
