"""Tables and paragraphs fit a terminal of 80 columns, whatever stands in them; what is piped is whole."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from asyncflow import cli
from asyncflow.commands.operator import config, status
from asyncflow.commands.terminal.cells import cut, width_of, wrapped
from asyncflow.commands.terminal.columns import paragraph, table, width_of_tables
from asyncflow.outbox import Outbox
from asyncflow.scheduler import TypeConfig
from asyncflow.scheduler.operator.report import Report, TypeReport
from asyncflow.scheduler.operator.type_counts import COUNT_LIMIT

ID = "0190a2f0-0000-7000-8000-000000000000"
LONG = "warehouse.shipment.of.fragile.goods.announced"


def widest(text: str) -> int:
    return max(map(width_of, text.splitlines()))


def test_the_widest_columns_are_cut_and_ids_are_not() -> None:
    told = table(("TASK", "TASK TYPE", "KEY"), [(ID, LONG, LONG)], 80, whole=1)
    assert widest(told) <= 80
    assert told.splitlines()[1].startswith(f"{ID}  warehouse")
    assert told.count("…") == 2


def test_columns_in_which_there_is_nothing_give_way_first() -> None:
    told = table(("TASK TYPE", "CANCELLED", "LATE"), [(LONG, 0, None), (LONG, 0, "")], 50)
    assert told.splitlines()[0].split() == ["TASK", "TYPE"]
    assert "…" not in told
    assert "CANCELLED" in table(("TASK TYPE", "CANCELLED"), [("mail", 0)], 50)


def test_a_row_with_too_many_columns_has_further_lines() -> None:
    headings = ("TASK", "STATUS", "TASK TYPE", "KEY", "TRIES", "DUE (UTC)", "CHANGED (UTC)")
    row = (ID, "PROCESSING", LONG, "account-4711", 3, "2026-11-29 02:41:07", "2026-11-29 02:41:07")
    told = table(headings, [row, row], 80, whole=1).splitlines()
    assert max(map(len, told)) <= 80
    assert [line.startswith("    ") for line in told] == [False, True, True] * 3
    assert told[0].split() == ["TASK", "STATUS"]
    assert LONG in told[4]
    assert told[5].split() == ["2026-11-29", "02:41:07"] * 2


def test_what_is_piped_is_not_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width_of_tables() is None  # standard output is none's terminal here
    assert LONG * 9 in table(("TASK TYPE",), [(LONG * 9,)], None)
    monkeypatch.setenv("COLUMNS", "100")
    assert width_of_tables() == 100


def test_figures_stand_to_the_right_and_names_to_the_left() -> None:
    told = table(("NAME", "COUNT", "AGE"), [("a", 7, "12 min"), ("bcdefg", ">=10000", "-")], None)
    assert told.splitlines()[1:] == ["a             7  12 min", "bcdefg  >=10000       -"]


def test_a_chinese_character_takes_the_room_of_two_letters() -> None:
    assert width_of("注文a") == 5
    assert cut("注文注文", 5) == "注文…"
    told = table(("KEY", "TRIES"), [("注文注文", 3), ("abc", 12)], None).splitlines()
    assert [width_of(line) for line in told[1:]] == [15, 15]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_paragraph_is_broken_at_spaces_and_behind_chinese_characters(width: int) -> None:
    for text in ("so many words of a sentence " * 9, "最早到期的任务已等待 2 分钟：该类型已停用。" * 9):
        lines = paragraph(text, width, "    ")
        assert max(map(width_of, lines)) <= width
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert not [line for line in lines if line.strip()[0] in "，。："]


def test_a_word_that_is_longer_than_the_line_stays_whole() -> None:
    assert wrapped(f"the task {ID} waits", 20) == ["the task", ID, "waits"]


def full(name: str) -> TypeReport:
    return TypeReport(name, COUNT_LIMIT, 7000.0, 7000.0, COUNT_LIMIT, COUNT_LIMIT, True, COUNT_LIMIT, 7000.0, 9999)


def test_the_status_fits_a_terminal_of_eighty_columns() -> None:
    told = status.render(Report([full(LONG), full("mail")], {None: 64}, []), 80)
    assert widest(told) <= 80
    for word in ("PENDING", "DUE FOR", "CANCELLED", "mail", f">={COUNT_LIMIT}", "117 min"):
        assert word in told
    assert LONG in status.render(Report([full(LONG)], {}, []))


def test_the_configuration_fits_a_terminal_of_eighty_columns() -> None:
    from sqlalchemy import MetaData

    outbox = Outbox(MetaData())
    outbox.task(LONG)(lambda: None)
    configs = {LONG: TypeConfig(task_type=LONG, limit=50, max_processing_time_seconds=600.0, enabled=False)}
    told = config.render(outbox, configs, 80)
    assert widest(told) <= 80
    for word in ("LIMIT", "50*", "600*", "false*", "RETRIES"):
        assert word in told


def commands(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield path.strip(), parser
    for group in groups:
        for name, command in group.choices.items():
            yield from commands(command, f"{path} {name}")


RUNS = {"run", "worker", "consume", "reshard", "serve", "dashboard", "init-db"}  # until a signal, or once at a set-up
IS_ANYWAY = {"jobs dump", "completion", "archive read"}  # JSON, or a script


def test_every_verb_that_tells_something_can_tell_it_to_programs() -> None:
    without = {path for path, one in commands(cli.parser()) if "--json" not in one._option_string_actions}
    assert without == RUNS | IS_ANYWAY
