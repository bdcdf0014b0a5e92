"""``asyncflow doctor`` and ``explain``: what they print, what programs read, and how they end."""

from __future__ import annotations

import json
import re

import pytest

from asyncflow import cli
from asyncflow.scheduler.diagnosis.finding import Code
from tests.integration.scheduler.writing import alter, publish
from tests.support.application import Application
from tests.support.snippets import ROOT


def run(application: Application, *arguments: str) -> int:
    url = application.engine.url.render_as_string(hide_password=False)
    return cli.main([arguments[0], *arguments[1:], "--database-url", url])


def test_the_doctor_ends_well_where_nothing_is_stuck(
    sqlite_application: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sqlite_application, "doctor") == 0
    assert capsys.readouterr().out == "nothing is stuck\n"
    assert run(sqlite_application, "doctor", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_doctor_tells_what_is_stuck_in_lines_that_fit_and_ends_with_one(
    sqlite_application: Application, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    publish(sqlite_application)
    alter(sqlite_application, "order_time = '2026-01-01 00:00:00.000000'")
    assert run(sqlite_application, "doctor") == 1
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 60
    assert out.startswith("STUCK    no-instance  since 2026-01-01 00:00:00Z\n")
    assert "    mend: asyncflow run MODULE:SCHEDULER\n" in out
    assert "    see:  docs/operate.md#no-instance\n" in out
    assert run(sqlite_application, "doctor", "--json") == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert told["code"] == "no-instance"
    assert told["severity"] == "stuck"
    assert told["since"].startswith("2026-01-01T00:00:00")
    assert set(told) == {"code", "severity", "kind", "name", "since", "cause", "remedy", "runbook"}


@pytest.mark.parametrize(
    "wrong",
    [["--stuck-seconds", "-1"], ["--letters-seconds", "0"], ["no.such.module:scheduler"], ["--stuck-seconds", "x"]],
)
def test_wrong_usage_ends_with_two(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = cli.main(["doctor", *wrong, *(["--database-url", "sqlite://"] if wrong[0][0] == "-" else [])])
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2
    assert capsys.readouterr().err


def test_a_task_is_explained_on_the_terminal_and_to_programs(
    sqlite_application: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    task_id = publish(sqlite_application, delay_seconds=7200)
    assert run(sqlite_application, "explain", str(task_id)) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{task_id}  user.registered  PENDING\n    It is not due yet: ")
    assert re.search(r"^    next: \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$", out, re.MULTILINE)
    assert run(sqlite_application, "explain", str(task_id), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["task_id"], told["status"]) == (str(task_id), "PENDING")
    assert run(sqlite_application, "explain", "17") == 1


def test_the_runbook_has_a_section_for_each_code_and_no_others() -> None:
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (\S+)$", page.partition("## The runbook")[2], re.MULTILINE)
    assert sections == [code.value for code in Code]
