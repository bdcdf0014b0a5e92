"""The page about tests holds what it says: its own blocks are run by pytest, in a directory of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.snippets import ROOT


def files_of(page: str) -> dict[str, str]:
    """Return the page's Python blocks by the file names in their first lines."""
    blocks = re.findall(r"^```python\n(# (\w+\.py)\n.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return {name: block for block, name in blocks}


def run_pytest(directory: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(directory)])}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the plugin of this tree, installed or not
    command = [sys.executable, "-m", "pytest", "-q", "-p", "asyncflow.integrations.pytest", "-p", "no:cacheprovider"]
    answer = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=240)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_the_tests_of_the_page_pass_in_memory(tmp_path: Path) -> None:
    files = files_of("docs/testing.md")
    for name in ("shop.py", "test_shop.py"):
        (tmp_path / name).write_text(files[name])
    assert "4 passed" in run_pytest(tmp_path)


def test_the_tests_of_the_page_pass_with_fixtures_that_were_overridden_and_with_an_async_session(
    tmp_path: Path,
) -> None:
    files = files_of("docs/testing.md")
    assert sorted(files) == ["conftest.py", "lines.py", "shop.py", "test_async.py", "test_lines.py", "test_shop.py"]
    for name in ("conftest.py", "shop.py", "test_async.py", "test_shop.py"):
        (tmp_path / name).write_text(files[name])
    assert "5 passed" in run_pytest(tmp_path)


def test_the_publisher_of_the_page_passes_the_suite_as_far_as_a_directory_can(tmp_path: Path) -> None:
    files = files_of("docs/testing.md")
    for name in ("lines.py", "test_lines.py"):
        (tmp_path / name).write_text(files[name])
    assert "9 passed, 10 skipped" in run_pytest(tmp_path)


def test_pytest_finds_the_plugin_where_asyncflow_is_installed() -> None:
    assert (
        '[project.entry-points.pytest11]\nasyncflow = "asyncflow.integrations.pytest"\n'
        in (ROOT / "pyproject.toml").read_text()
    )
