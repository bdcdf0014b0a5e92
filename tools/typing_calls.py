"""Ask mypy and pyright what users' type checkers would say: right calls are taken, wrong ones refused, each of them.

PYTHON -m tools.typing_calls
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
RIGHT, WRONG = ROOT / "tests" / "typing" / "right.py", ROOT / "tests" / "typing" / "wrong.py"
_MARK = "# wrong"

Refusals = set[tuple[str, int]]  # file name and line


def expected() -> Refusals:
    """Return the lines of wrong calls."""
    lines = WRONG.read_text(encoding="utf-8").splitlines()
    return {(WRONG.name, number) for number, line in enumerate(lines, 1) if line.endswith(_MARK)}


def refused_by_mypy() -> Refusals:
    """Return the lines that ``mypy --strict`` refuses."""
    ours_left_out = ("--config-file", os.devnull, "--cache-dir", ".mypy_cache/typing")
    answer = _run("mypy", "--strict", "--no-error-summary", *ours_left_out, str(RIGHT), str(WRONG))
    found = re.findall(r"(\w+\.py):(\d+): error: .*\[([\w-]+)\]", answer)
    # What else it says is of the package's own files, which it does not report to those who have installed it.
    return {(name, int(line)) for name, line, _ in found if name in (RIGHT.name, WRONG.name)}


def refused_by_pyright() -> Refusals:
    """Return the lines that pyright refuses, with its own defaults."""
    answer = _run("pyright", "--outputjson", "--pythonpath", sys.executable, str(RIGHT), str(WRONG))
    found = json.loads(answer[answer.index("{") :])["generalDiagnostics"]
    errors = [one for one in found if one["severity"] == "error"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in errors}


def faults(name: str, refused: Refusals) -> list[str]:
    """Return what is not as it should be, a line each."""
    wanted = expected()
    return [
        *(f"{name} takes the wrong call at {file}:{line}" for file, line in sorted(wanted - refused)),
        *(f"{name} refuses {file}:{line}" for file, line in sorted(refused - wanted)),
    ]


def main() -> int:
    """Ask both; return 1 if one of them says what it should not."""
    checkers: dict[str, Callable[[], Refusals]] = {"mypy": refused_by_mypy, "pyright": refused_by_pyright}
    found = [fault for name, ask in checkers.items() for fault in faults(name, ask())]
    print(
        "\n".join(found)
        or f"{len(expected())} wrong calls are refused, all right ones taken, by {' and '.join(checkers)}"
    )
    return 1 if found else 0


def _run(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    if answer.returncode not in (0, 1):
        raise SystemExit(f"{module} failed: {answer.stdout}{answer.stderr}")
    return answer.stdout


if __name__ == "__main__":
    sys.exit(main())
