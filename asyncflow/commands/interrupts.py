"""Ctrl-C on the command, from its first moment to its last: one line and the documented exit code, and no traceback.

The package imports this module before all others: where the process is the command itself, an interrupt ends it while
modules are being loaded, which has begun nothing. A program that merely imports the package keeps its own handlers.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130  # as shells have it: 128, and the number of SIGINT
_PROGRAM = re.compile(r"asyncflow(-script)?(\.exe|\.pyw?)?")
_MODULE = re.compile(r"(-\w*m)?asyncflow(\.cli)?")  # as in: python -m asyncflow


class Interrupts:
    """Hear Ctrl-C for the process' own command; used by its main thread."""

    def __init__(self) -> None:
        self._has_begun = False
        self._code: int | None = None  # with which the command has ended

    def listen(self) -> None:
        """Hear Ctrl-C, unless somebody hears or ignores it already."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hear)

    def begin(self) -> None:
        """From here on raise KeyboardInterrupt at the first Ctrl-C; a second one ends the process at once."""
        self.listen()
        self._has_begun = True

    def end(self, code: int) -> None:
        """From here on end the process with the code that its command has come to."""
        self._code = code

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._code is not None:
            os._exit(self._code)
        if not self._has_begun and _is_loading(frame):
            with suppress(OSError):
                os.write(2, b"asyncflow: interrupted; nothing had begun\n")
            os._exit(INTERRUPTED)
        if self._has_begun:
            self._code = INTERRUPTED
        signal.default_int_handler(number, frame)


def _is_loading(frame: FrameType | None) -> bool:
    """Tell whether a module of the package is being loaded: a program of the same name may have work in hand."""
    while frame is not None:
        spec = frame.f_globals.get("__spec__")
        if frame.f_code.co_name == "<module>" and getattr(spec, "name", "").partition(".")[0] == "asyncflow":
            return True
        frame = frame.f_back
    return False


def _is_command() -> bool:
    """Tell whether this process is ``asyncflow``, or ``python -m asyncflow``."""
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    if program != "-m":
        return _PROGRAM.fullmatch(os.path.basename(program)) is not None
    return _MODULE.fullmatch(sys.orig_argv[-len(sys.argv)]) is not None


interrupts = Interrupts()
if _is_command():
    interrupts.listen()
