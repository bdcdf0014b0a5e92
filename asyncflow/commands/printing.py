"""What commands print and log: no row and no error brings anything there that a terminal would act on."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from asyncflow.commands.terminal.colours import console_of, print_coloured
from asyncflow.text import in_ascii, printable


def tell(text: str, file: TextIO | None = None) -> None:
    """Print lines, each escaped; what is one field must have its own line breaks escaped before.

    What the terminal's encoding has no letter for is escaped, too, as JSON has it: a name in another script ends no
    command. On a terminal words of state have colours, if the extra for it is installed.
    """
    file = file or sys.stdout
    lines = [_writable(printable(line), file.encoding) for line in text.split("\n")]
    console = console_of(file)
    if console is None:
        print("\n".join(lines), file=file)
    else:
        print_coloured(lines, console)


def _writable(line: str, encoding: str | None) -> str:
    return line if _has(encoding, line) else "".join(one if _has(encoding, one) else in_ascii(one) for one in line)


def _has(encoding: str | None, text: str) -> bool:
    if text.isascii() or encoding is None:  # in memory there is none
        return True
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


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
