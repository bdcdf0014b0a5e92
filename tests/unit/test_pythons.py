"""`make test-pythons`: each Python that is there or can be had runs the tests, and one that cannot fails nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import pythons, unpacked_python
from tools.pythons import ABSENT, FAILED, PASSED, environment_of, results
from tools.services.errors import CannotServeError
from tools.unpacked_python import mirror_in, packages_in, python_of, within


class Machine:
    """Be a machine that has some Pythons; one step of some fails there."""

    def __init__(self, has: Sequence[str], fails: dict[str, str]) -> None:
        self.has, self.fails = has, fails
        self.asked: list[str] = []

    def run(self, command: Sequence[str]) -> int:
        """Return the exit code of a command."""
        words = " ".join(command)
        if "find" in command:
            return int(command[-1] not in self.has)
        self.asked.append(words)
        return int(any(f".venv-{version}" in words and step in words for version, step in self.fails.items()))


def test_a_python_that_is_not_there_is_told_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pythons, "_run", Machine(["3.14"], {}).run)
    monkeypatch.setattr(pythons, "unpack", refuse)
    assert pythons.main(["3.10", "3.14", "--", "tests/unit", "-x"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "Python 3.10 is not on this machine, and not to be had: no package"
    assert told[-1] == "Python 3.10: not on this machine; 3.14: passed;"


def refuse(version: str) -> Path:
    raise CannotServeError("no package")


def test_a_python_that_was_fetched_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine([], {})
    monkeypatch.setattr(pythons, "_run", machine.run)
    monkeypatch.setattr(pythons, "unpack", python_of)
    assert pythons.main(["3.14", "--", "tests/unit"]) == 0
    assert [
        words
        for words in machine.asked
        if f"uv venv --quiet --clear --no-python-downloads --python {python_of('3.14')} " in words
    ]
    assert machine.asked[-1] == f"{environment_of('3.14')}/bin/python -m pytest tests/unit"


@pytest.mark.parametrize("step", ["uv venv", "uv pip install", "pytest"])
def test_whatever_fails_with_one_python_the_others_are_run_and_the_whole_fails(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(["3.10", "3.12", "3.14"], {"3.12": step})
    told = results(["3.10", "3.12", "3.13", "3.14"], ["tests/unit"], machine.run, lambda _: None)
    assert told == {"3.10": PASSED, "3.12": FAILED, "3.13": ABSENT, "3.14": PASSED}
    monkeypatch.setattr(pythons, "_run", machine.run)
    assert pythons.main(["3.12", "--"]) == 1


def test_each_python_runs_the_tests_in_an_environment_of_its_own() -> None:
    machine = Machine(["3.14", "/opt/py/bin/python3.15"], {})
    results(machine.has, ["tests/unit", "-x"], machine.run, lambda _: None)
    ran = [words for words in machine.asked if words.endswith("-m pytest tests/unit -x")]
    assert ran == [f"{environment_of(version)}/bin/python -m pytest tests/unit -x" for version in machine.has]
    assert environment_of("/opt/py/bin/python3.15").name == ".venv-opt-py-bin-python3.15"


# -- Debian's packages of one ----------------------------------------------------------------------------


def test_what_cannot_be_had_is_told_in_a_line_and_fails_the_fetch_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unpacked_python, "unpack", refuse)
    assert unpacked_python.main(["3.99"]) == 1
    assert capsys.readouterr().out == "Python 3.99: NOT there, and not to be had: no package\n"
    assert unpacked_python.main([]) == 0


def test_what_is_no_version_is_not_asked_for() -> None:
    for wrong in ("python", "3", "3.14; rm", "/opt/python", "../3.14"):
        with pytest.raises(CannotServeError, match="no version"):
            unpacked_python.unpack(wrong)


def test_the_time_is_for_all_that_is_run_together(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    moments = iter([100.0, 110.0, 130.0, 170.0])

    def run(command: Sequence[str], deadline_seconds: float) -> str:
        given.append(deadline_seconds)
        return ""

    monkeypatch.setattr(unpacked_python, "monotonic", lambda: next(moments))
    monkeypatch.setattr(unpacked_python, "run", run)
    bounded = within(60.0)
    for _ in range(3):
        bounded(["true"])
    assert given == [50.0, 30.0, 0.0]


def test_the_mirror_is_the_one_of_debian_itself_that_the_machine_uses() -> None:
    told = "Debian-Security http://mirror/debian-security/\nDebian http://mirror/debian/\nDebian http://other/debian/\n"
    assert mirror_in(told) == "http://mirror/debian/"
    with pytest.raises(CannotServeError, match="no mirror of Debian"):
        mirror_in("Ubuntu http://mirror/ubuntu/\n")


def test_packages_are_those_of_which_addresses_are_told() -> None:
    told = (
        "Reading lists\n"
        "'http://m/libstdc%2b%2b6_14.deb' libstdc++6_14_amd64.deb 9 SHA256:ab\n"
        "'http://m/p.deb' python3.14_3.14.1_amd64.deb 9 SHA256:cd"
    )
    assert packages_in(told) == ["libstdc++6", "python3.14"]
