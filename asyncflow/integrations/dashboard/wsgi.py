"""The dashboard as a WSGI application, for Flask and others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from asyncflow.forks import leave_at_fork
from asyncflow.integrations.dashboard.extras import a2wsgi


class WsgiDashboard:
    """Serve the pages within WSGI; any thread may serve, and each process has an event loop of its own for it.

    Its loop is made at the first request: a server that forks afterwards leaves the thread of an earlier one behind.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self._library = a2wsgi()
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin with a loop of this process."""
        self._lock = threading.Lock()
        self._middleware: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        with self._lock:
            if self._middleware is None:
                self._middleware = self._library.ASGIMiddleware(self._application)
        answer: Iterable[bytes] = self._middleware(environ, start_response)
        return answer
