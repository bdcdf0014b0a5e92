"""The dashboard in a process of its own, until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import resource
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from asyncflow.errors import MissingExtraError, OptionError
from asyncflow.integrations.dashboard.dashboard import Dashboard

_LOG = logging.getLogger("asyncflow.dashboard")
_STOP_SECONDS = 5


def serve(dashboard: Dashboard, host: str, port: int, is_stopping: Callable[[], bool] = lambda: False) -> bool:
    """Serve until a signal; return whether it came up, or was asked to stop before it did.

    Raises MissingExtraError, or OptionError for a port that is none.
    """
    try:
        import uvicorn
    except ImportError as error:
        told = 'the dashboard needs uvicorn to stand alone: pip install "asyncflow-outbox[dashboard]"'
        raise MissingExtraError(told) from error
    if not 0 <= port <= 65_535:
        raise OptionError(f"--port is {port}; give 0 to 65535")
    server = _server(uvicorn, _config(uvicorn, dashboard, host, port))
    stops: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stops.append(number)
        server.handle_exit(number, None)

    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal once more when it has stopped, for whoever handled it before.
        signal.signal(number, stop)
    if is_stopping():
        return True
    server.run()
    return bool(server.started or stops)


def _config(uvicorn: Any, dashboard: Dashboard, host: str, port: int) -> Any:
    # Imported here, for it needs uvicorn.
    from asyncflow.integrations.dashboard.door.connections import (
        MOST_WAITING,
        BrowserConnection,
        Browsers,
        connections_within,
    )

    browsers = Browsers(connections_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
    return uvicorn.Config(
        dashboard,
        host=host,
        port=port,
        http=partial(BrowserConnection, browsers),
        ws="none",
        backlog=MOST_WAITING,
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="error",
        proxy_headers=False,  # who asks is who is connected: a header can say anything
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


def _server(uvicorn: Any, config: Any) -> Any:
    class TellingServer(uvicorn.Server):  # type: ignore[misc]
        """Say where it serves."""

        async def startup(self, sockets: Any = None) -> None:
            """Begin to listen."""
            await super().startup(sockets)
            for one in (one for server in self.servers for one in server.sockets) if self.started else ():
                host, port = one.getsockname()[:2]
                _LOG.info("The dashboard is at http://%s:%d/", f"[{host}]" if ":" in host else host, port)

    return TellingServer(config)
