"""What commands print and log: no row and no error brings anything there that a terminal would act on."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from asyncflow.commands.terminal.colours import console_of, print_coloured
from asyncflow.text import printable


def tell(text: str, file: TextIO | None = None) -> None:
    """Print lines, each escaped; what is one field must have its own line breaks escaped before.

    On a terminal words of state have colours, if the extra for it is installed.
    """
    file = file or sys.stdout
    lines = [_taken(printable(line), file) for line in text.split("\n")]
    console = console_of(file)
    if console is None:
        print("\n".join(lines), file=file)
    else:
        print_coloured(lines, console)


def _taken(line: str, file: TextIO) -> str:
    """Escape what the file's encoding does not have, as that of a terminal that is set to Latin-1."""
    encoding = file.encoding or "utf-8"  # a test's stream has none
    return line if line.isascii() else line.encode(encoding, errors="backslashreplace").decode(encoding)


class PlainFormatter(logging.Formatter):
    """Escape the message and the traceback of a record; only a traceback has further lines, and these are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging names it
        """Return the line."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - as logging names it
        """Return the traceback."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(f"  {printable(line)}" for line in lines)

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - as logging names it
        """Return the stack."""
        return "\n".join(f"  {printable(line)}" for line in stack_info.split("\n"))
