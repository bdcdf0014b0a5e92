"""What a terminal sees: colours only there, the same text everywhere, progress on standard error."""

from __future__ import annotations

import io
import re
import sys

import pytest

from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.consent import is_confirmed
from asyncflow.commands.terminal.progress import Lines, progress, rate_of
from asyncflow.errors import MissingExtraError
from asyncflow.integrations import terminal as extras
from asyncflow.integrations.terminal import shtab

TOLD = "STATUS   TASK TYPE\nFAILED   FAILED.type [bold]x[/bold]\nSTUCK    \x1b[31mno-instance"
PLAIN = "STATUS   TASK TYPE\nFAILED   FAILED.type [bold]x[/bold]\nSTUCK    \\x1b[31mno-instance\n"
ESCAPES = re.compile(r"\x1b\[[\d;]*m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_terminal_gets_the_same_text_in_colours() -> None:
    terminal = Terminal()
    tell(TOLD, terminal)
    shown = terminal.getvalue()
    assert ESCAPES.sub("", shown) == PLAIN
    assert "\x1b[1;31mFAILED\x1b[0m   FAILED.type" in shown  # the word alone, and no name that holds it
    assert "\x1b[1;31mSTUCK\x1b[0m" in shown


@pytest.mark.parametrize("file", [io.StringIO, Terminal])
def test_without_a_terminal_or_without_the_extra_it_is_plain(
    file: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    if file is Terminal:
        monkeypatch.setattr(extras, "import_module", missing)
    stream = file()
    tell(TOLD, stream)
    assert stream.getvalue() == PLAIN


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colours_gets_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    terminal = Terminal()
    tell(TOLD, terminal)
    assert terminal.getvalue() == PLAIN


def test_a_long_line_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    tell("FAILED " + "x" * 200, terminal)
    assert ESCAPES.sub("", terminal.getvalue()).count("\n") == 1


def missing(name: str) -> None:
    raise ImportError(name)


def test_completion_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(MissingExtraError, match=r'pip install "asyncflow-outbox\[cli\]"'):
        shtab()


@pytest.mark.parametrize("has_extra", [True, False])
def test_progress_is_shown_at_a_terminal_only(monkeypatch: pytest.MonkeyPatch, has_extra: bool) -> None:
    if not has_extra:
        monkeypatch.setattr(extras, "import_module", missing)
    monkeypatch.setattr("asyncflow.commands.terminal.progress._TOLD_SECONDS", 3600.0)
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress("tasks deleted", 100) as told:
            told(40)
        is_shown = stream.isatty() and has_extra  # without the extra the first line comes after some seconds
        assert bool(stream.getvalue()) == is_shown


def test_without_the_extra_a_line_tells_rate_and_rest_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now = Terminal(), [0.0]
    monkeypatch.setattr(sys, "stderr", stream)
    lines = Lines("tasks", 10_000, lambda: now[0])
    for second in range(1, 11):
        now[0] = float(second)
        lines.tell(second * 500)
    assert stream.getvalue() == "2,500 tasks, 500/s, about 15 s left\n5,000 tasks, 500/s, about 10 s left\n"
    assert rate_of(5, 0.0) == ""


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_a_question_is_answered_by_yes_alone(monkeypatch: pytest.MonkeyPatch, answer: str, agreed: bool) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert is_confirmed("delete them?") is agreed


def test_where_nobody_is_there_nobody_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert not is_confirmed("delete them?")
