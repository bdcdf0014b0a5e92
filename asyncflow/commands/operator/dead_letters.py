"""``asyncflow dead-letters``: list, show, replay, cancel and discard."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from asyncflow.commands.database import add_database_options, database_of, database_with_type
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.actor import add_actor_options, user
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import width_of_tables
from asyncflow.commands.terminal.dead_letters import render, render_groups, render_state
from asyncflow.commands.terminal.progress import progress
from asyncflow.errors import OptionError
from asyncflow.events import Event, TasksChanged
from asyncflow.outbox import Outbox, Status
from asyncflow.outbox.options import require_number, require_whole
from asyncflow.scheduler import DeadLetters, Selection
from asyncflow.scheduler.diagnosis.dead_letters import MOST_LETTERS, letter_groups
from asyncflow.scheduler.diagnosis.letter_board import letters_of_group
from asyncflow.scheduler.operator.by_hand.notes import Notes
from asyncflow.scheduler.operator.changing.batches import Changed
from asyncflow.scheduler.operator.dead_letters import DeadLetterPage
from asyncflow.text import shown

_USAGE = 2
_LOOKS = ("list", "groups", "show")
_HOURS = 24.0  # as far back groups are looked for
_SHOWN = 10  # before a change that was not confirmed
_DONE = {"replay": "replayed", "cancel": "cancelled", "discard": "discarded"}
_ACTIONS = {
    "replay": "let dead letters be PENDING again, with all their retries",
    "cancel": "make tasks that wait or have failed CANCELLED",
    "discard": "delete dead letters",
}


def add_to(commands: Any) -> None:
    """Add the command and its own commands."""
    letters = commands.add_parser("dead-letters", help="look at FAILED tasks, replay, cancel or discard them")
    actions = letters.add_subparsers(required=True, metavar="ACTION")
    listing = add_action(actions, "list", "show dead letters, page by page", _list)
    _add_filter(listing)
    listing.add_argument("--limit", type=int, default=50, help="of a page (default: %(default)s)")
    listing.add_argument("--after", metavar="CURSOR", help="as the page before told")
    grouping = add_action(actions, "groups", "show what tasks died of lately, by type and error", _groups)
    grouping.add_argument(
        "--hours",
        type=float,
        default=_HOURS,
        metavar="N",
        help="dead letters that are younger (default: %(default)g)",
    )
    noting = add_action(actions, "note", "keep what is known of a group for whoever is next, in the audit", _note)
    noting.add_argument("--group", required=True, metavar="GROUP", help="as `groups` tells it")
    noting.add_argument("--text", required=True, help="the note; empty takes it away")
    noting.add_argument("--actor", default=user(), help="who does it, for the audit (default: %(default)s)")
    add_action(actions, "show", "show all of one task", show).add_argument("--id", required=True, metavar="TASK")
    add_changes(actions)


def add_action(actions: Any, name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    """Add one of a command's own commands, which names a database and may answer with JSON."""
    sub: argparse.ArgumentParser = actions.add_parser(name, help=text)
    add_database_options(sub, looks=name in _LOOKS)
    add_json_option(sub)
    sub.set_defaults(command=run, action=name)
    return sub


def add_changes(actions: Any) -> None:
    """Add replay, cancel and discard."""
    for name, text in _ACTIONS.items():
        _add_change(add_action(actions, name, text, _change), name)


def _add_filter(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--type", dest="task_type", metavar="NAME", help="of this task type")
    sub.add_argument("--key", help="with this key")


def _add_change(sub: argparse.ArgumentParser, name: str) -> None:
    _add_filter(sub)
    sub.add_argument("--id", nargs="+", action="extend", metavar="TASK", help="these tasks")
    sub.add_argument(
        "--group", metavar="GROUP", help="the dead letters of one group, as `dead-letters groups` tells it"
    )
    sub.add_argument(
        "--hours", type=float, metavar="N", help=f"with --group: those of it that are younger (default: {_HOURS:g})"
    )
    sub.add_argument("--all", action="store_true", help="of all task types")
    sub.add_argument("--limit", type=int, help="change at most so many")
    add_actor_options(sub)
    sub.add_argument("--yes", action="store_true", help="do it; without, show what would be changed")
    if name == "replay":
        sub.add_argument("--per-second", type=float, metavar="N", help="let so many come due in each second")


def _list(options: argparse.Namespace) -> int:
    letters = DeadLetters(*database_with_type(options))
    page = letters.list(task_type=options.task_type, key=options.key, limit=options.limit, after=options.after)
    if options.json:
        tell(as_json(page))
        return 0
    tell(render(page.letters, goes_on=page.next is not None))
    if page.next is not None:
        tell(f"\nmore: --after {page.next}")
    return 0


def _groups(options: argparse.Namespace) -> int:
    require_number("hours", options.hours, 0.001, 87_600)
    database = database_of(options)
    groups = letter_groups(*database, within_seconds=options.hours * 3600)
    notes = Notes(*database).of(group.fingerprint for group in groups)
    if options.json:
        tell(as_json([{**asdict(group), "note": notes.get(group.fingerprint)} for group in groups]))
        return 0
    tell(render_groups(groups, notes, width_of_tables()))
    return 0


def _note(options: argparse.Namespace) -> int:
    text = " ".join(options.text.split()) or None
    Notes(*database_of(options)).write(options.group, text, actor=options.actor)
    tell(as_json({"group": options.group, "note": text}) if options.json else f"{options.group}: {text or 'no note'}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Show all of one task."""
    state = DeadLetters(*database_of(options)).inspect(options.id)
    tell(as_json({**asdict(state), "status": Status(state.status).name}) if options.json else render_state(state))
    return 0


def _change(options: argparse.Namespace) -> int:
    by_filter = options.task_type is not None or options.key is not None
    if sum((options.id is not None, options.group is not None, by_filter, options.all)) != 1:
        raise OptionError(
            f"name what to {options.action} in one way: --id TASK …, --group GROUP, --type and --key, or --all"
        )
    if options.hours is not None and options.group is None:
        raise OptionError("--hours is given without --group; it tells how far back a group is looked for")
    database = database_with_type(options)
    ids = options.id if options.group is None else _ids_of_group(options, database)
    selection = Selection(
        ids=ids, task_type=options.task_type, key=options.key, everything=options.all, limit=options.limit
    )
    if not options.yes:
        return _preview(options, selection, DeadLetters(*database))
    who = {"actor": options.actor, "reason": options.reason}
    total = options.limit if selection.wanted_ids is None else len(selection.wanted_ids)
    with progress(f"tasks {_DONE[options.action]}", total) as told:
        letters = DeadLetters(*database, hooks=[_Changes(told)])
        if options.action == "replay":
            changed = letters.replay(selection, per_second=options.per_second, **who)
        else:
            changed = getattr(letters, options.action)(selection, **who)
    tell(as_json(changed) if options.json else _told(options.action, changed))
    return 0


def _ids_of_group(options: argparse.Namespace, database: tuple[Engine, Outbox]) -> list[UUID]:
    """Return the newest of the group, as many as a look at dead letters sees; raises OptionError if there is none."""
    hours = _HOURS if options.hours is None else options.hours
    require_number("hours", hours, 0.001, 87_600)
    most = MOST_LETTERS if options.limit is None else options.limit
    require_whole("limit", most, 1, 2**31 - 1)
    view = letters_of_group(*database, options.group, hours * 3600, most)
    if view is None:
        raise OptionError(
            f"group {shown(options.group)} has no dead letters of the last {hours:g} hours; "
            f"`asyncflow dead-letters groups` tells the groups, --hours looks further back"
        )
    if not options.json:
        more = " or more, of which the newest are changed" if view.group.is_capped else ""
        tell(f"{view.group.task_type}: {view.group.error or '(no error was written)'}: {view.group.count}{more}")
    return [letter.task_id for letter in view.letters]


class _Changes:
    """Be the hook that tells how many tasks were changed so far; used by the thread that changes them."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._count = 0

    def __call__(self, event: Event) -> None:
        """Count a batch."""
        if isinstance(event, TasksChanged):
            self._count += event.tasks
            self._told(self._count)


def _preview(options: argparse.Namespace, selection: Selection, letters: DeadLetters) -> int:
    hint = f"nothing was changed; add --yes to {options.action} them"
    page = None
    if selection.wanted_ids is None:
        page = _first_page(letters, options)
    if options.json:
        first: Sequence[object] = page.letters if page is not None else list(selection.wanted_ids or ())
        tell(as_json({"count": 0, "first": first, "is_more": page is not None and page.next is not None}))
        tell(hint, sys.stderr)
        return _USAGE
    if page is not None:
        tell(render(page.letters))
        if page.next is not None:
            tell("…")
        if options.action == "cancel":
            tell("and those that wait")
    elif options.group is not None:
        ids = selection.wanted_ids or ()
        tell("\n".join([*map(str, ids[:_SHOWN]), *(["…"] if len(ids) > _SHOWN else [])]))
    tell(hint)
    return _USAGE


def _first_page(letters: DeadLetters, options: argparse.Namespace) -> DeadLetterPage:
    """Return the first page that holds any; a key may have many tasks before its first dead letter."""
    chosen = {"task_type": options.task_type, "key": options.key, "limit": _SHOWN}
    page = letters.list(**chosen)
    while not page.letters and page.next is not None:
        page = letters.list(**chosen, after=page.next)
    return page


def _told(action: str, changed: Changed) -> str:
    lines = [f"{changed.count} {'task' if changed.count == 1 else 'tasks'} {_DONE[action]}"]
    lines += [f"left alone: {task_id} is {status}" for task_id, status in changed.left.items()]
    return "\n".join(lines)
