"""Run tests with each version of Python that is there or can be had, in an environment for each, and name the others.

PYTHON -m tools.pythons 3.10 3.14 /opt/python3.15/bin/python -- tests/unit -x
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.services.errors import CannotServeError
from tools.unpacked_python import unpack

ROOT = Path(__file__).parents[1]
PASSED, FAILED, ABSENT = "passed", "FAILED", "not on this machine"

Run = Callable[[Sequence[str]], int]
Fetch = Callable[[str], "str | None"]


def results(versions: Sequence[str], tests: Sequence[str], run: Run, fetch: Fetch) -> dict[str, str]:
    """Return for each version or path of a Python whether the tests passed there; ``fetch`` brings what is absent."""
    return {version: _result(version, tests, run, fetch) for version in versions}


def _result(version: str, tests: Sequence[str], run: Run, fetch: Fetch) -> str:
    uv = (sys.executable, "-m", "uv")
    is_absent = run([*uv, "python", "find", "--quiet", "--no-python-downloads", version])
    found = fetch(version) if is_absent else version
    if found is None:
        return ABSENT
    made = environment_of(version)
    python = str(made / "bin" / "python")
    steps = (
        [*uv, "venv", "--quiet", "--clear", "--no-python-downloads", "--python", found, str(made)],
        [*uv, "pip", "install", "--quiet", "--python", python, "--editable", ".[all]", "--group", "dev"],
        [python, "-m", "pytest", *tests],
    )
    return FAILED if any(map(run, steps)) else PASSED  # the first that fails is the last


def environment_of(version: str) -> Path:
    """Return where the virtual environment of a Python is made."""
    return ROOT / f".venv-{re.sub(r'[^A-Za-z0-9.]+', '-', version).strip('-')}"


def main(arguments: Sequence[str]) -> int:
    """Run the tests behind ``--`` with the Pythons before it; return 1 if any failed."""
    end = arguments.index("--")
    told = results(arguments[:end], arguments[end + 1 :], _run, _fetch)
    print("Python", *(f"{version}: {result};" for version, result in told.items()))
    return int(FAILED in told.values())


def _fetch(version: str) -> str | None:
    try:
        python = str(unpack(version))
    except CannotServeError as error:
        print(f"Python {version} is not on this machine, and not to be had: {error}", flush=True)
        return None
    print(f"Python {version} is not on this machine, so it is unpacked from Debian's packages: {python}", flush=True)
    return python


def _run(command: Sequence[str]) -> int:
    seen = subprocess.DEVNULL if "find" in command else None  # what it tells is told in one word
    return subprocess.run(command, cwd=ROOT, env=_environment(), stdout=seen, stderr=seen, check=False).returncode


def _environment() -> dict[str, str]:
    """Return the environment with pip's own settings, for uv."""
    names = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_CERT": "SSL_CERT_FILE"}
    return {**os.environ, **{ours: os.environ[pips] for pips, ours in names.items() if os.environ.get(pips)}}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
