"""The example of a long task in stages."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.snippets import ROOT


def test_every_text_is_spoken_although_the_worker_is_killed_in_the_middle() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.text_to_speech"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    before, after = re.split(r"the worker is killed .*\n", done.stdout)

    assert before.count("(attempt 1) is ordered") == 3
    assert "(attempt 2)" not in before
    assert "hello (attempt 2) resumes at its stage 'rendered'" in after
    assert "is ordered" not in after
    assert all(f"is done: {name}.wav" in after for name in ("hello", "weather", "news"))
    assert after.splitlines()[-1] == "3 of 3 texts were spoken, with 3 jobs at the rendering service"
