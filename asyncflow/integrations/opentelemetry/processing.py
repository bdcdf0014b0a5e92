"""The processing of one message: its span stands at hand, and tells what the work raised."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any

from asyncflow.conventions.names import ERROR_TYPE, error_type_of
from asyncflow.integrations.opentelemetry.starting import Starting
from asyncflow.outbox import CancelTask, NotDone
from asyncflow.text import hide_parameters, without_parameters

LONGEST_TEXT, _LONGEST_TRACE = 2_000, 16_000  # of an error: collectors refuse a batch of spans that is too large
_MESSAGE, _STACKTRACE = "exception.message", "exception.stacktrace"


class Processing(AbstractContextManager[None]):
    """Stand around one piece of work; entered once, on its thread or in its coroutine.

    No generator, and none of the API's within it: of a span that is kept these cost a tenth.
    """

    __slots__ = ("_failed", "_span", "_start", "_starting", "_token")

    def __init__(self, starting: Starting, start: Callable[[], Any], failed: Any) -> None:
        self._starting = starting
        self._start = start
        self._failed = failed  # the status code

    def __enter__(self) -> None:
        self._span = self._start()
        self._token = self._starting.attach(self._span)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._starting.detach(self._token)
        try:
            if error is not None and not isinstance(error, (NotDone, CancelTask)):  # said on purpose, and no fault
                tell_of(error, self._span, self._failed)
        finally:
            self._starting.end(self._span)


def tell_of(error: BaseException, span: Any, failed: Any) -> None:
    """Tell on a span what the work raised, under the status code ``failed``; without parameters of statements."""
    hide_parameters(error)
    text = "it cannot be printed"
    with suppress(Exception):
        text = without_parameters(str(error))
    text = text[:LONGEST_TEXT]
    span.set_attribute(ERROR_TYPE, error_type_of(error))
    span.set_status(failed, f"{type(error).__name__}: {text}")
    with suppress(Exception):  # it prints the error, and that may be what fails
        lines = "".join(traceback.format_exception(error))
        span.record_exception(error, {_MESSAGE: text, _STACKTRACE: lines[:_LONGEST_TRACE]})
