"""*Dead letters*: by what they died of, over hours and days; and the replay of exactly what is shown."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.door.person import Role
from asyncflow.integrations.dashboard.page import Deed, Form, PagePath, Seen, Values, WebPage
from asyncflow.integrations.dashboard.pages.replayed_set import look_at_set, reason_with_mark
from asyncflow.scheduler import DeadLetters, Selection
from asyncflow.scheduler.diagnosis.letter_board import WINDOWS, letter_board, letters_of_group
from asyncflow.scheduler.operator.by_hand.notes import Notes

_MOST = 500  # letters on one page, and in one replay
_DAY = 86400.0
_BOARD_SECONDS = 2.0


def _look_at_board(desk: Desk, _: Values) -> Seen:
    rows = letter_board(desk.engine, desk.outbox)
    notes = Notes(desk.engine, desk.outbox).of(row.group.fingerprint for row in rows)
    return {"rows": rows, "windows": WINDOWS, "notes": notes}


def _look_at_group(desk: Desk, values: Values) -> Seen:
    within = _within(values)
    view = letters_of_group(desk.engine, desk.outbox, values["fingerprint"], within, _MOST)
    replayed = look_at_set(desk, values["set"]) if "set" in values else None
    notes = Notes(desk.engine, desk.outbox).of([values["fingerprint"]])
    return {
        "view": view,
        "fingerprint": values["fingerprint"],
        "within": within,
        "windows": WINDOWS,
        "most": _MOST,
        "replayed": replayed,
        "note": notes.get(values["fingerprint"]),
    }


def _within(values: Mapping[str, str]) -> float:
    try:
        return min(max(WINDOWS), max(60.0, float(values.get("within", _DAY))))
    except ValueError:
        raise OptionError("within is no number of seconds; follow a link of the page before") from None


def _replay(desk: Desk, form: Form) -> str:
    """Replay the letters that were shown and are ticked, or the first of them alone."""
    ids = _ids(form)[: 1 if form.one("which") == "first" else _MOST]
    mark = secrets.token_hex(4)
    DeadLetters(desk.engine, desk.outbox).replay(
        Selection(ids=ids),
        actor=form.person.name,
        reason=reason_with_mark(form.reason, mark),
        per_second=form.number("per_second"),
    )
    return _back(form, set=mark)


def _cancel(desk: Desk, form: Form) -> str:
    DeadLetters(desk.engine, desk.outbox).cancel(Selection(ids=_ids(form)), actor=form.person.name, reason=form.reason)
    return _back(form)


def _discard(desk: Desk, form: Form) -> str:
    DeadLetters(desk.engine, desk.outbox).discard(Selection(ids=_ids(form)), actor=form.person.name, reason=form.reason)
    return _back(form)


def _note(desk: Desk, form: Form) -> str:
    """Keep what a person knows of the group; an empty text takes the note away."""
    text = " ".join(form.one("note").split()) or None
    Notes(desk.engine, desk.outbox).write(form.values["fingerprint"], text, actor=form.person.name)
    return _back(form)


def _ids(form: Form) -> list[UUID]:
    given = Selection(ids=form.several("id")).wanted_ids or ()
    if not 0 < len(given) <= _MOST:
        raise OptionError(f"{len(given)} letters are ticked; tick 1 to {_MOST}")
    return list(given)


def _back(form: Form, **query: Any) -> str:
    within = _within({"within": form.one("within") or str(_DAY)})
    return f"letters/{form.values['fingerprint']}?{urlencode({'within': f'{within:.0f}', **query})}"


_GROUP = "letters/{fingerprint}"
PAGES = (
    WebPage(place=PagePath("letters"), template="letters.html", look=_look_at_board, seconds_old=_BOARD_SECONDS),
    WebPage(place=PagePath(_GROUP), template="group.html", look=_look_at_group, asks=("within", "set")),
)
DEEDS = (
    Deed(place=PagePath(f"{_GROUP}/replay"), role=Role.OPERATOR, do=_replay),
    Deed(place=PagePath(f"{_GROUP}/cancel"), role=Role.OPERATOR, do=_cancel),
    Deed(place=PagePath(f"{_GROUP}/note"), role=Role.OPERATOR, do=_note),
    Deed(place=PagePath(f"{_GROUP}/discard"), role=Role.ADMIN, do=_discard),
)
