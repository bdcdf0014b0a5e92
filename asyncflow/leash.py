"""The leash on foreign code: what it forks does not come back to us as a second one of our threads.

A child that leaves a handler, by ``sys.exit()``, an error or plainly, would otherwise go on as the worker that the
parent's thread is, on the parent's connections, with the parent's claims.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType, coroutine
from typing import Any, NoReturn, TypeVar

from asyncflow.errors import ForkedError
from asyncflow.text import hide_parameters

T = TypeVar("T")

# Another object in each child of a fork: to compare it costs nothing, where asking the system for the pid, twice for
# each handler's call, costs more than the call.
_process = object()


def _begin_anew() -> None:
    global _process
    _process = object()


os.register_at_fork(after_in_child=_begin_anew)


class Leash:
    """End the process on the way out of foreign code, if it is another one than on the way in.

    It stands directly around that code, so that nothing of ours runs in the child, neither an ``except`` nor the end of
    a session.
    """

    __slots__ = ("_process",)

    def __enter__(self) -> None:
        self._process = _process

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _process is not self._process:
            end_child(error)


def call_on_leash(call: Callable[..., T], given: Mapping[str, Any]) -> T:
    """Call foreign code on a leash: in one frame, for this is done for each task."""
    process = _process
    try:
        returned = call(**given)
    except BaseException as error:
        if _process is not process:
            end_child(error)
        raise
    if _process is not process:
        end_child(None)
    return returned


@coroutine
def on_leash(work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await ``work``, on a leash from one ``await`` to the next: the event loop is the parent's as well."""
    process = _process
    steps = work.__await__()
    step: Callable[[], Any] = partial(next, steps)
    while True:
        if _process is not process:  # another one of this loop has forked, and the child goes round the loop
            end_child(_lost())
        try:
            awaited = step()
        except StopIteration as end:
            if _process is not process:
                end_child(None)
            return end.value  # type: ignore[no-any-return]
        except BaseException as error:
            if _process is not process:
                end_child(error)
            raise
        if _process is not process:
            end_child(_lost())
        try:
            step = partial(steps.send, (yield awaited))
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:  # noqa: BLE001 - raised where the work awaits
            step = partial(steps.throw, error)


def led_by(awaited: Any) -> Any:
    """Return the work that something awaited leads on a leash; None if it is no leash."""
    is_leash = getattr(awaited, "gi_code", None) is on_leash.__code__ and awaited.gi_frame is not None
    return awaited.gi_frame.f_locals["work"] if is_leash else None


def may_go_on(error: BaseException) -> bool:
    """Tell whether who called foreign code goes on, whatever that raised.

    ``sys.exit()``, an interrupt or a cancellation end no thread of ours, and so what others wait for; on the main
    thread they are for the application.
    """
    return isinstance(error, Exception) or threading.current_thread() is not threading.main_thread()


def end_child(error: BaseException | None) -> NoReturn:
    """End this process with the exit code that Python gives the error; tell of one that is no ``sys.exit()``."""
    code = 1
    try:
        code = _code_of(error)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
    finally:
        os._exit(code)


def _code_of(error: BaseException | None) -> int:
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        hide_parameters(error)
        traceback.print_exception(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _lost() -> ForkedError:
    return ForkedError(
        "a coroutine forked, and the child awaits on the event loop of its parent; "
        "let the child end before it awaits, or use multiprocessing or a subprocess"
    )
