"""How findings are put in order, told, and what groups dead letters."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from datetime import datetime, timezone

import pytest

from asyncflow.cli import parser
from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity, given, in_order, lasting, listed
from asyncflow.scheduler.table.fingerprints import error_of, fingerprint_of, normalised
from tests.support.snippets import ROOT


def finding(severity: Severity, year: int | None, name: str = "x") -> Finding:
    since = None if year is None else datetime(year, 1, 1, tzinfo=timezone.utc)
    return Finding(
        code=Code.TYPE_OFF, severity=severity, kind="task type", name=name, since=since, cause="so", remedy="do"
    )


def test_the_most_urgent_come_first_and_of_these_the_longest_lasting() -> None:
    stuck, older = finding(Severity.STUCK, 2026), finding(Severity.STUCK, 2025)
    trouble, timeless, notice = (
        finding(Severity.TROUBLE, 2020),
        finding(Severity.TROUBLE, None),
        finding(Severity.NOTICE, 2000),
    )
    assert in_order([notice, timeless, trouble, stuck, older]) == [older, stuck, trouble, timeless, notice]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-3, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_durations_are_told_in_the_unit_that_people_would_choose(seconds: float, told: str) -> None:
    assert lasting(seconds) == told


@pytest.mark.parametrize("name", ["A1", "-5", "--yes", "it's; rm -rf $HOME", "", "-", "a b"])
def test_a_name_in_a_remedy_is_one_word_of_it_whatever_it_is(name: str) -> None:
    options = parser().parse_args(shlex.split(f"tasks list {given('--key', name)} {given('--type', name)}"))
    assert (options.key, options.task_type) == (name, name)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to ask")
@pytest.mark.parametrize("name", ["a  b", "it's $HOME", "-\n'\\ \x1b[31m\x07\u202e7", "\u5f20 \U0001f600\t"])
def test_a_shell_takes_from_a_remedy_the_name_that_is_meant_and_a_terminal_nothing(name: str) -> None:
    word = given("--key", name)
    assert word.isprintable()
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    told = subprocess.run(["bash", "-c", f"printf '%s\\n' {word}"], capture_output=True, check=True, env=environment)
    assert told.stdout.decode() == (f"--key={name}\n" if name.startswith("-") else f"--key\n{name}\n")


def test_each_kind_of_finding_is_made_in_a_test_on_real_databases() -> None:
    tests = (ROOT / "tests/integration/scheduler/diagnosis/test_findings.py").read_text(encoding="utf-8")
    assert [code.name for code in Code if f"Code.{code.name}" not in tests] == []


def test_of_many_names_the_first_few_are_told() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(range(9)) == "0, 1, 2, 3, 4 and 4 more"


def test_an_error_is_the_first_line_of_a_log_without_its_time_and_frames() -> None:
    log = "2026-01-01T00:00:00Z KeyError: 'a' [db.py:12 in get, called from x.py:1 in y]\n2026-01-01T00:00:00Z older\n"
    assert error_of(log) == "KeyError: 'a'"
    assert error_of(None) == ""


@pytest.mark.parametrize(
    "errors",
    [
        ("no user 17", "no user 4711"),
        ("task 0190a0b0-0000-7000-8000-000000000001 is gone", "task 0190ffff-0000-7abc-8000-00000000ffff is gone"),
        ("KeyError: 'a17'", "KeyError: 'something else'"),
        ('no column "x y"', 'no column "z"'),
        ("at 0x7f0fc9acc8d0", "at 0x7f0fc9b9b990"),
        ("sha 9f86d081884c7d65 differs", "sha 60303ae22b998861 differs"),
    ],
)
def test_what_differs_from_one_to_the_next_makes_no_group_of_its_own(errors: tuple[str, str]) -> None:
    assert normalised(errors[0]) == normalised(errors[1])


def test_what_is_another_error_is_another_group() -> None:
    assert normalised("refused by facade") != normalised("refused by decade")
    assert fingerprint_of("a", "it broke") != fingerprint_of("b", "it broke")
    assert fingerprint_of("a", "it broke") == fingerprint_of("a", "it broke")
