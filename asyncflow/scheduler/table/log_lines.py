"""The lines of a row's log: errors in one line, as every database takes them."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from itertools import dropwhile
from pathlib import Path
from traceback import walk_tb

from asyncflow.text import without_parameters

_LONGEST_ERROR = 300
_FRAMES = 3
_LONGEST_FRAMES = 200
_OURS = str(Path(os.path.abspath(__file__)).parents[2]) + os.sep


def short_error(error: str) -> str:
    """Return an error's text on one line, as every database takes it, without the parameters of its SQL."""
    # No database takes half a surrogate pair, PostgreSQL no NUL: the outcome must be written all the same.
    clean = without_parameters(error).replace("\0", "").encode(errors="backslashreplace").decode()
    return " ".join(clean.split())[:_LONGEST_ERROR]


def innermost_frames(error: BaseException) -> str:
    """Return where an error was raised, innermost first: ``[db.py:12 in get, called from coupons.py:41 in issue]``.

    Nothing for an error that was raised nowhere. How we came to call the application's code is left out.
    """
    calls = [(frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in walk_tb(error.__traceback__)]
    calls = list(dropwhile(lambda call: call[0].startswith(_OURS), calls)) or calls
    innermost = (f"{os.path.basename(file)}:{line} in {name}" for file, line, name in calls[: -_FRAMES - 1 : -1])
    told = ", called from ".join(innermost)[:_LONGEST_FRAMES]
    return f" [{told}]" if told else ""


def log_line(error: str, frames: str = "") -> str:
    """Return a line for a row's ``schedule_log``."""
    # For people only, and never compared: this process's clock will do.
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {error}{frames}\n"
