"""What becomes of an error that a job's code raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncflow.callables import require_function
from asyncflow.errors import OptionError, nearest
from asyncflow.scheduler.jobs.context import Context
from asyncflow.scheduler.jobs.references import is_reference, referred
from asyncflow.text import shown

LOG = "LOG"  # tell it as an event; the job goes on
THROW = "THROW"  # tell it, stop the job in this instance and give its items back
IGNORE = "IGNORE"  # the job goes on, and nobody is told

HANDLERS = (LOG, THROW, IGNORE)
ErrorHandler = Callable[[Context, BaseException], None]


def error_handler_of(given: Any) -> str | ErrorHandler:
    """Return one of the three names, or a function, which may be named ``module:attribute``; raises OptionError."""
    if isinstance(given, str) and given in HANDLERS:
        return given
    handler = referred("error_handler", given) if is_reference(given) else given
    if callable(handler):
        require_function("error_handler", handler)
        found: ErrorHandler = handler
        return found
    hint = nearest(given, HANDLERS) if isinstance(given, str) else ""
    raise OptionError(
        f"error_handler is {shown(given)}{hint}; give one of {', '.join(HANDLERS)}, or a function (context, error)"
    )
