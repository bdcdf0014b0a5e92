"""The example of a long task in stages."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.snippets import ROOT

NAMES = ("hello", "weather", "news")


def test_every_text_is_spoken_although_the_worker_is_killed_in_the_middle() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.text_to_speech"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    before, stages, after = re.split(r"the worker is killed .* upload: (.*); another one starts\n", done.stdout)

    assert before.count("(attempt 1) is ordered") == 3
    polls = re.findall(r"(\w+) \(attempt 1\) is \d+% rendered", before)
    assert any(polls.count(name) > 1 for name in NAMES)  # coming back later is no new attempt
    assert re.search(r"\w+ \(attempt \d+\) resumes at its stage 'rendered'", after)
    reached = [name for name in NAMES if f"{name} is new" not in stages]
    assert not [name for name in reached if re.search(rf"{name} \(attempt \d+\) is ordered", after)]
    assert all(f"is done: {name}.wav" in done.stdout for name in NAMES)
    assert after.splitlines()[-1] == "3 of 3 texts were spoken, with 3 jobs at the rendering service"
