"""Judge what Redis answers: which answers end a task, which spend an attempt, which spend none."""

from __future__ import annotations

from asyncflow.scheduler.publishing.publisher import Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.texts import one_line

# The message, the kind of its key, or the right to write it is at fault; the same message will fail again.
REJECTED = frozenset({"NOPERM", "WRONGTYPE"})
# The server takes no write at all for now: it is full, starts, is a replica, has lost its own, or does not let us in.
UNAVAILABLE = frozenset(
    {
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOREPLICAS",
        "OOM",
        "READONLY",
        "TRYAGAIN",
        "UNBLOCKED",
        "WRONGPASS",
    }
)


def judge(error: BaseException) -> Rejected | Retry | Unavailable:
    """Return what an error that the server answered means; what is in neither table is worth another attempt."""
    code, text = code_of(error), str(error)
    told = one_line(code, text.removeprefix(code).strip())
    if code in REJECTED:
        return Rejected(told)
    return Unavailable(told) if code in UNAVAILABLE else Retry(told)


def code_of(error: BaseException) -> str:
    """Return the word by which the server begins its error; redis-py takes some away and makes classes of them."""
    for kind in type(error).__mro__:
        if kind.__name__ in _CODES:
            return _CODES[kind.__name__]
    first = str(error).partition(" ")[0]
    return first if first.isupper() else type(error).__name__


# redis-py's classes for codes that it removes from the text.
_CODES = {
    "AuthenticationError": "NOAUTH",
    "AuthenticationWrongNumberOfArgsError": "NOAUTH",
    "BusyLoadingError": "LOADING",
    "NoPermissionError": "NOPERM",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "TryAgainError": "TRYAGAIN",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
}


def describe(error: BaseException) -> str:
    """Return an error of the connection on one line."""
    return one_line(type(error).__name__, str(error))
