"""The example of a job over a table of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.snippets import ROOT


def test_every_record_is_sent_once_by_the_item_it_belongs_to(tmp_path: Path) -> None:
    environment = {**os.environ, "RECORDS_DATABASE_URL": f"sqlite:///{tmp_path / 'records.db'}"}
    done = subprocess.run(
        [sys.executable, "-m", "examples.send_records"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *lines, total = done.stdout.splitlines()
    # Ids begin at 1: hello 0 has id 1, and 1 % 3 is item 1.
    assert sorted(lines) == sorted(f"item {(number + 1) % 3} sends 'hello {number}'" for number in range(10))
    assert total == "10 records are sent"
