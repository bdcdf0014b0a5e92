"""The live view keeps the findings on the screen, and lives longer than an absence of the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import MetaData, create_engine
from sqlalchemy.exc import OperationalError

from asyncflow import Outbox, cli
from asyncflow.commands.operator import top
from asyncflow.commands.operator.top import fitted


def test_of_a_view_that_is_longer_than_the_screen_the_first_lines_are_shown() -> None:
    view = "\n".join(f"line {number}" for number in range(50))
    shown = fitted(view, 24).split("\n")
    assert len(shown) == 23
    assert shown[0] == "line 0"
    assert shown[-1] == "… and 28 more lines; --once tells all"
    assert fitted(view, 60) == view


def test_while_the_database_is_away_that_is_told_and_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: Iterator[object] = iter(["first", OperationalError("", {}, OSError("gone away")), "back", None])

    def render(*_: object) -> str:
        answer = next(answers)
        if answer is None:
            raise KeyboardInterrupt
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr(top, "seen", lambda *_: None)
    monkeypatch.setattr(top, "render", render)
    monkeypatch.setattr(top, "_SHORTEST_SECONDS", 0.0)
    monkeypatch.setattr(top, "database_of", lambda _: (create_engine("sqlite://"), Outbox(MetaData())))
    assert cli.main(["top", "--interval", "0"]) == 0
    first, away, back = capsys.readouterr().out.splitlines()
    assert (first, back) == ("first", "back")
    assert away.endswith("the database cannot be looked at; asked again: gone away")
