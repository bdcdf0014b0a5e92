"""The screens: a picture that moves on a terminal, lines anywhere else."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.live import Live

from examples.registration_demo.show.picture import picture_of
from examples.registration_demo.show.view import Happening, State, Tone, View

LINE_EVERY_SECONDS = 2.0


class Screen(Protocol):
    """Show the view to whoever is watching, between ``__enter__`` and ``__exit__``."""

    view: View

    def refresh(self) -> None:
        """Draw the view as it is now."""
        ...

    def tell(self, tone: Tone, text: str, **states: State) -> None:
        """Add an event, with the new states of processes."""
        ...

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def screen_on(console: Console, view: View) -> Screen:
    """Return the screen that suits where the output goes."""
    return (
        LiveScreen(console, view)
        if console.is_terminal and not console.is_dumb_terminal
        else PlainScreen(console, view)
    )


class LiveScreen:
    """Draw the view in place, again and again."""

    def __init__(self, console: Console, view: View) -> None:
        self.view = view
        self._live = Live(picture_of(view), console=console, auto_refresh=False)

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def refresh(self) -> None:
        """Draw the picture anew."""
        self._live.update(picture_of(self.view), refresh=True)

    def tell(self, tone: Tone, text: str, **states: State) -> None:
        """Add the event to the picture."""
        _note(self.view, tone, text, states)
        self.refresh()


class PlainScreen:
    """Print a line for each event, and one for the counts every now and then."""

    def __init__(self, console: Console, view: View) -> None:
        self.view = view
        self._console = console
        self._next_line_at = 0.0
        self._told = view.tally

    def __enter__(self) -> PlainScreen:
        self._print(f"user registration on {self.view.where}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def refresh(self) -> None:
        """Print the counts if the last time is long enough ago."""
        tally = self.view.tally
        if tally != self._told and self.view.elapsed >= self._next_line_at:
            self._next_line_at = self.view.elapsed + LINE_EVERY_SECONDS
            self._told = tally
            self._print(
                f"{self.view.elapsed:5.1f} s    users {tally.users:,}  pending {tally.pending:,}  "
                f"coupons {tally.coupons:,}  points grants {tally.grants:,}"
            )

    def tell(self, tone: Tone, text: str, **states: State) -> None:
        """Print the event."""
        happening = _note(self.view, tone, text, states)
        self._print(f"{happening.at:5.1f} s  {tone.value} {text}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()


def _note(view: View, tone: Tone, text: str, states: dict[str, State]) -> Happening:
    happening = Happening(view.elapsed, tone, text)
    view.happenings.append(happening)
    view.states.update(states)
    return happening
