"""Run the service in a process of its own, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from asyncflow.integrations.flowsvr.service import TaskService


class _Server(uvicorn.Server):
    """Let waiting holds return as soon as the process is asked to stop: uvicorn waits for every response."""

    def __init__(self, config: uvicorn.Config, service: TaskService) -> None:
        super().__init__(config)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Serve until stopped."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)  # type: ignore[arg-type]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop what waits, then the server; a second signal ends the process at once."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._service.waiting_holds.stop)
        super().handle_exit(sig, frame)


def serve(app: FastAPI, host: str, port: int, is_stopping: Callable[[], bool] = lambda: False) -> bool:
    """Serve until a signal; return whether the service came up, or was asked to stop before it did.

    ``is_stopping`` tells of a signal that came before.
    """
    service: TaskService = app.state.service
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,  # the application writes its own
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(service.settings.stop_timeout_seconds)),
    )
    server = _Server(config, service)
    stops: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stops.append(number)
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal once more when it has stopped, for whoever handled it before.
        signal.signal(number, stop)
    if is_stopping() or stops:
        return True
    server.run()
    return bool(server.started or stops)
