"""The commands that pages and messages tell of are there, with the options that they are told with."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from asyncflow import cli
from tests.support.snippets import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
OWN = ("asyncflow ", "flask outbox ", "python manage.py outbox ")
NO_COMMANDS = {"asyncflow task service", "asyncflow X"}  # a title, and the version
A_SENTENCE = re.compile(r"asyncflow \S*:")  # what a log or a notice begins with


def not_made() -> NoReturn:
    raise AssertionError("a parser makes no scheduler")


PARSERS = {own: cli.parser_in_application(own, not_made) for own in OWN} | {"asyncflow ": cli.parser()}


def in_console(page: Path) -> Iterator[str]:
    """Give the lines that a reader types of ours, each with its continuation."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            if line.startswith("$ ") and line[2:].startswith(OWN):
                yield line[2:]


def in_text(page: Path) -> Iterator[str]:
    """Give the commands that stand in a line of text, which may leave out what the reader knows."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from (one for one in re.findall(r"`([^`\n]+)`", text) if one.startswith(OWN))


def in_messages() -> Iterator[str]:
    """Give the commands that our own messages name: texts that are one, or have one in backticks."""
    for path in sorted((ROOT / "asyncflow").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        parts = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for told in (text_of(node) for node in nodes if node not in parts):
            yield from (one for one in re.findall(r"`(asyncflow [^`]+)`", told) if not A_SENTENCE.match(one))
            if told.startswith("asyncflow ") and not A_SENTENCE.match(told):
                yield told
            if found := re.search(r"; (?:see )?(asyncflow [a-z].*)$", told):
                yield found[1]


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "X" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def unknown_in(command: str) -> list[str]:
    """Return those words of a command that its parser does not know: of commands and options."""
    own = next(name for name in OWN if command.startswith(name))
    words = command.removeprefix(own).partition(" #")[0].split()
    first, *rest = words
    return [one for name in first.split("|") for one in unknown_of(PARSERS[own], [name, *rest])]


def unknown_of(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    unknown, is_command = [], True
    for word in words:
        commands = commands_of(parser)
        if word.startswith("-"):
            option = word.rstrip("…").partition("=")[0]
            known = {name for action in parser._actions for name in action.option_strings}
            unknown += [] if option in known else [option]
        elif is_command and commands:
            if word in ("…", "..."):
                return unknown
            if word not in commands:
                return [*unknown, word]
            parser = commands[word]
        else:
            is_command = False
    return unknown


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_reader_copies_is_taken_by_the_command_line(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []
    for command in in_console(page):
        own = next(name for name in OWN if command.startswith(name))
        try:
            PARSERS[own].parse_args(shlex.split(command.removeprefix(own).rstrip(" &"), comments=True))
        except SystemExit:
            refused.append((command, capsys.readouterr().err))
    assert refused == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_that_a_page_names_are_there(page: Path) -> None:
    assert {one: unknown for one in in_text(page) if (unknown := unknown_in(one))} == {}


def test_the_commands_that_messages_name_are_there() -> None:
    told = set(in_messages()) - NO_COMMANDS
    assert len(told) > 20
    assert {one: unknown for one in told if (unknown := unknown_in(one))} == {}


def test_a_command_that_is_not_there_is_found() -> None:
    assert unknown_in("asyncflow dead-letters lst app:scheduler") == ["lst"]
    assert unknown_in("asyncflow run|serv app:scheduler --verbos") == ["--verbos", "serv"]
    assert unknown_in("flask outbox serve") == ["serve"]
