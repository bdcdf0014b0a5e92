"""Listeners around the runs of a job's items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from asyncflow.callables import require_function
from asyncflow.errors import OptionError
from asyncflow.scheduler.jobs.context import Context
from asyncflow.scheduler.jobs.references import is_reference, referred
from asyncflow.text import shown


@runtime_checkable
class JobListener(Protocol):
    """Be called around each run of an item, on the thread that runs it."""

    def before(self, context: Context) -> None:
        """Take note that a run begins; one that raises keeps the job's code from being called."""
        ...

    def after(self, context: Context) -> None:
        """Take note that the run has ended, well or by an error; called in reverse order."""
        ...


def listeners_of(given: Any) -> tuple[JobListener, ...]:
    """Return the listeners in order; each is one, or named by ``module:attribute``. Raises OptionError."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise OptionError(f"listeners is {shown(given)}; give a list of objects with before(ctx) and after(ctx)")
    found = tuple(referred("listeners", one) if is_reference(one) else one for one in given)
    for listener in found:
        if not isinstance(listener, JobListener):
            raise OptionError(f"listeners holds {shown(listener)}; give objects with before(ctx) and after(ctx)")
        require_function("before() of a listener", listener.before)
        require_function("after() of a listener", listener.after)
    return found
