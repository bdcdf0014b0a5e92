"""The picture of a view, for a terminal of 80 columns or more."""

from __future__ import annotations

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from examples.registration_demo.show.view import Happening, State, Tone, View

WIDTH = 80
BAR_WIDTH = 28

_STATES = {
    State.STARTING: ("○", "dim"),
    State.UP: ("●", "green"),
    State.STOPPED: ("■", "bold yellow"),
    State.KILLED: ("✗", "bold red"),
    State.ENDED: ("○", "dim"),
}
_TONES = {Tone.GOOD: "green", Tone.BAD: "red", Tone.PLAIN: "dim"}


def picture_of(view: View) -> RenderableType:
    """Draw the view."""
    return Panel(
        Group(_processes(view), Text(), _happenings(view)),
        box=ROUNDED,
        title="[bold]asyncflow[/bold] · registration demo",
        title_align="left",
        subtitle=f"{view.where} · {view.elapsed:.0f} s",
        subtitle_align="right",
        border_style="dim",
        width=WIDTH,
        padding=(1, 2),
    )


def _processes(view: View) -> Table:
    tally = view.tally
    grid = Table.grid(padding=(0, 1))
    for justify in ("left", "left", "left", "right", "left"):
        grid.add_column(justify=justify)
    for name, what, count, style in (
        ("accounts", "users registered", tally.users, "cyan"),
        ("scheduler", "outbox rows pending", tally.pending, "yellow"),
        ("broker", "messages sent", tally.settled, "blue"),
        ("coupon", "coupons issued", tally.coupons, "green"),
        ("points", "points granted", tally.grants, "green"),
    ):
        state = view.states.get(name, State.STARTING)
        glyph, color = _STATES[state]
        process = Text(f"{glyph} {name}", style=color)
        grid.add_row(process, Text(f"{state.value:<8}", style=color), what, *_bar(view, count, style))
    return grid


def _bar(view: View, count: int, style: str) -> tuple[Text, ProgressBar]:
    bar = ProgressBar(view.users, count, BAR_WIDTH, complete_style=style, finished_style=style)
    return Text(f"{count:>7,} ", style=f"bold {style}"), bar


def _happenings(view: View) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", style="dim", min_width=6)
    grid.add_column()
    grid.add_column()
    for happening in view.happenings:
        grid.add_row(*_row(happening))
    return grid


def _row(happening: Happening) -> tuple[str, Text, Text]:
    style = _TONES[happening.tone]
    text = Text(happening.text, style=style if happening.tone is Tone.BAD else "")
    return f"{happening.at:.1f} s", Text(happening.tone.value, style=style), text
