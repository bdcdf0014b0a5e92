"""`make test-pythons`: each Python that is there runs the tests, and one that is not fails nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tools import pythons
from tools.pythons import ABSENT, FAILED, PASSED, environment_of, results


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
    assert pythons.main(["3.10", "3.14", "--", "tests/unit", "-x"]) == 0
    assert capsys.readouterr().out == "Python 3.10: not on this machine; 3.14: passed;\n"


@pytest.mark.parametrize("step", ["uv venv", "uv pip install", "pytest"])
def test_whatever_fails_with_one_python_the_others_are_run_and_the_whole_fails(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(["3.10", "3.12", "3.14"], {"3.12": step})
    told = results(["3.10", "3.12", "3.13", "3.14"], ["tests/unit"], machine.run)
    assert told == {"3.10": PASSED, "3.12": FAILED, "3.13": ABSENT, "3.14": PASSED}
    monkeypatch.setattr(pythons, "_run", machine.run)
    assert pythons.main(["3.12", "--"]) == 1


def test_each_python_runs_the_tests_in_an_environment_of_its_own() -> None:
    machine = Machine(["3.14", "/opt/py/bin/python3.15"], {})
    results(machine.has, ["tests/unit", "-x"], machine.run)
    ran = [words for words in machine.asked if words.endswith("-m pytest tests/unit -x")]
    assert ran == [f"{environment_of(version)}/bin/python -m pytest tests/unit -x" for version in machine.has]
    assert environment_of("/opt/py/bin/python3.15").name == ".venv-opt-py-bin-python3.15"
