"""httpx tells at INFO of each request, to one logger for all its clients: ours are kept out of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_ours: ContextVar[bool] = ContextVar("asyncflow_request", default=False)


class _OthersOnly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Let warnings pass, and what is told of another's requests."""
        return record.levelno >= logging.WARNING or not _is_ours.get()


_FILTER = _OthersOnly()


@contextmanager
def unlogged() -> Iterator[None]:
    """Leave the requests of this block out of httpx's log; worker and service tell of them by events."""
    logging.getLogger("httpx").addFilter(_FILTER)  # once, however often it is called
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)
