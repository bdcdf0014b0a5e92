"""Programs whose main thread has ended while another goes on: what takes work in them, and what keeps them alive."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

_AFTERWARDS = """
import threading

def _go_on(main):
    main.join()
    {call}()
    print("well", flush=True)

threading.Thread(target=_go_on, args=(threading.main_thread(),)).start()
"""


def run_program(program: str, *, afterwards: str = "") -> tuple[str, str, int]:
    """Run a program; call its function ``afterwards`` on another thread when its main thread has ended.

    Returns what it wrote, "well" in the end if that was called, what it complained of, and its exit code.
    """
    whole = textwrap.dedent(program) + (_AFTERWARDS.format(call=afterwards) if afterwards else "")
    command = [sys.executable, "-c", whole]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=Path.cwd())
    return done.stdout, done.stderr, done.returncode
