"""What a fork leaves in the child: copies of things that are the parent's, and that only the parent may use or end.

What has such things is not sent to another process either, such as one that multiprocessing spawns.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
from contextlib import suppress
from typing import Any, NoReturn, Protocol
from weakref import WeakSet


class OfOneProcess(Protocol):
    """Hold connections, threads or an identity, which a child of a fork must not share."""

    def leave_to_parent(self) -> None:
        """Let go, in the child, of what the parent holds, so that it can begin anew; ends and closes nothing."""


class StaysHere:
    """Be no value: what has locks, threads and connections of this process is made anew in another one."""

    def __reduce__(self) -> NoReturn:
        kind = type(self).__name__
        raise TypeError(
            f"{kind} cannot be pickled or copied, for its locks and connections are this process's: make it at the top "
            f"of a module, and let the function that runs in the other process import it from there"
        )


_known: WeakSet[Any] = WeakSet()
_kept: list[object] = []
_has_forked = False


def leave_at_fork(thing: OfOneProcess) -> None:
    """Call ``thing.leave_to_parent()`` in each child that is forked while it lives."""
    _known.add(thing)


def is_child() -> bool:
    """Tell whether this process was forked, after this module was imported, from one that may use what it has."""
    return _has_forked


def keep_for_ever(thing: object) -> None:
    """Let nothing collect what the parent holds, not even the end of this process.

    A client that is collected says good-bye to the server, on the socket of the parent, or waits for threads that are
    not here. A reference that nobody gives back keeps it from that, whatever the interpreter clears at its end.
    """
    _kept.append(thing)
    with suppress(AttributeError):  # another interpreter than CPython clears nothing at its end
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _leave_all() -> None:
    global _has_forked
    # What is garbage at the fork is the parent's as well. Collected here, its connections would wait for locks of their
    # library that other threads of the parent held at that moment, and that nobody gives back here; or say good-bye.
    gc.freeze()
    _has_forked = True
    for thing in list(_known):
        try:
            thing.leave_to_parent()
        except Exception:
            logging.getLogger("asyncflow").exception("%r could not be left to the process %d", thing, os.getppid())


os.register_at_fork(after_in_child=_leave_all)
