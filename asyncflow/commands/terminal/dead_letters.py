"""Dead letters, their groups, and all of one task, as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncflow.commands.terminal.columns import paragraph, table
from asyncflow.outbox import Status
from asyncflow.scheduler.diagnosis.dead_letters import LetterGroup
from asyncflow.scheduler.operator.by_hand.notes import Note
from asyncflow.scheduler.operator.task_view import DeadLetter, TaskState
from asyncflow.text import printable

_MOST_PAYLOAD = 2000  # characters shown


def render(letters: Sequence[DeadLetter], *, goes_on: bool = False) -> str:
    """Return a page of dead letters as text for a terminal, two lines each; ``goes_on``: there is another page."""
    lines = [f"{'TASK':<36} {'FAILED AT (UTC)':<19} {'ATTEMPTS':>8} TASK TYPE"]
    for letter in letters:
        name = printable(letter.task_type) + (f" key={printable(letter.key)}" if letter.key else "")
        lines.append(f"{letter.task_id} {letter.failed_at:%Y-%m-%d %H:%M:%S} {letter.retry_count:>8} {name}")
        lines.append(f"    {letter.log.splitlines()[0] if letter.log else '(no log)'}")
    return "\n".join(lines if letters else [*lines, "(none so far)" if goes_on else "(no dead letters)"])


def render_groups(groups: Sequence[LetterGroup], notes: Mapping[str, Note], width: int | None = None) -> str:
    """Return groups as text, no wider than that, if there is a width."""
    rows = [
        (
            group.fingerprint,
            f"{group.count}{'+' if group.is_capped else ''}",
            group.task_type,
            f"{group.first:%m-%d %H:%M:%S}",
            f"{group.last:%m-%d %H:%M:%S}",
        )
        for group in groups
    ]
    heading, *told = table(("GROUP", "TASKS", "TASK TYPE", "FIRST (UTC)", "LAST (UTC)"), rows, width, whole=2).split(
        "\n"
    )
    if not groups:
        return "\n".join([heading, *told])
    lines = [heading]
    for group, line in zip(groups, told, strict=True):
        lines += [line, *_below(group.error or "(no error was written)", width)]
        if (note := notes.get(group.fingerprint)) is not None:
            lines += _below(f"note: {note.text} ({note.actor}, {note.at:%m-%d %H:%M})", width)
    return "\n".join(lines)


def _below(text: str, width: int | None) -> list[str]:
    return [f"    {printable(text)}"] if width is None else paragraph(text, width, "    ")


def render_state(state: TaskState) -> str:
    """Return all of one task as text for a terminal."""
    fields = {
        "task": state.task_id,
        "type": state.task_type,
        "key": state.key,
        "status": Status(state.status).name,
        "attempts": f"{state.retry_count} of {state.max_retries + 1}",
        "stage": state.stage,
        "context": state.context,
        "owner": state.owner,
        "enqueued": state.created_at,
        "changed": state.modified_at,
        "due": state.next_select_time,
        "headers": state.headers or None,
        "payload": _payload(state.payload) if state.hidden is None else f"hidden: {state.hidden}",
        "encrypted": state.encrypted,
    }
    lines = [f"{name:<10}{printable(value)}" for name, value in fields.items() if value is not None]
    return "\n".join([*lines, "log", *(f"    {line}" for line in state.log.splitlines())])


def _payload(payload: bytes | None) -> str | None:
    if payload is None:
        return None
    text = payload[: _MOST_PAYLOAD * 4].decode(errors="backslashreplace")
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[:_MOST_PAYLOAD])
    return shown + (f" … ({len(payload)} bytes)" if len(text) > _MOST_PAYLOAD else "")
