"""The smoke test of the wheel is right itself: it passes here, and it refuses what it is there to refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import asyncflow

SMOKE = Path(__file__).resolve().parents[1] / "smoke.py"


def _run_smoke(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SMOKE), *options]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=240, check=False)


def test_the_smoke_test_passes_with_this_environments_package_in_an_empty_directory(tmp_path: Path) -> None:
    done = _run_smoke(tmp_path, "--editable")

    assert done.returncode == 0, done.stderr
    assert "smoke test passed" in done.stdout
    for client in ("kafka-python", "confluent-kafka"):
        assert f"ok  {client}: a consumer read exactly these" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_smoke_test_refuses_a_package_that_is_not_installed(tmp_path: Path) -> None:
    is_installed = "site-packages" in Path(asyncflow.__file__).parts
    done = _run_smoke(tmp_path)

    assert (done.returncode == 0) == is_installed
    assert is_installed or "asyncflow is imported from" in done.stderr
