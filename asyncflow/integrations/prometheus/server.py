"""The page of metrics of a scheduler's process."""

from __future__ import annotations

import io
import threading
from types import TracebackType
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.forks import leave_at_fork
from asyncflow.integrations.prometheus.extras import prometheus_client
from asyncflow.integrations.prometheus.gauges import OutboxCollector
from asyncflow.integrations.prometheus.hook import PrometheusHook
from asyncflow.integrations.prometheus.messaging import PrometheusMessaging
from asyncflow.listeners import Answering, BoundedServer
from asyncflow.scheduler import AsyncScheduler, Scheduler


class MetricsServer:
    """Serve the metrics of one scheduler over HTTP at ``/metrics``, from its making to ``close``.

    ``messaging``: with the four metrics of OpenTelemetry's conventions, measured around deliveries and attempts.
    Raises MissingExtraError, or OptionError for an address that cannot be had, and for an AsyncScheduler.
    """

    def __init__(self, scheduler: Scheduler, port: int, host: str = "127.0.0.1", *, messaging: bool = False) -> None:
        if isinstance(scheduler, AsyncScheduler):
            raise OptionError("scheduler is an AsyncScheduler; give its .scheduler")
        client = prometheus_client()
        registry = client.CollectorRegistry()
        several = bool(scheduler.databases)
        self._hook = PrometheusHook(registry, by_database=several)
        self._scheduler = scheduler
        registry.register(OutboxCollector(scheduler.engines if several else scheduler.engine, scheduler.outbox))
        client.ProcessCollector(registry=registry)
        try:
            self._server = BoundedServer((host, port), _answering(client.MetricsHandler.factory(registry)))
        except (OSError, OverflowError, UnicodeError) as error:
            raise OptionError(f"the metrics' port is {port} at {host}: {error}; give one that is free") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="asyncflow-metrics", daemon=True)
        self._thread.start()
        scheduler.hooks.add(self._hook)
        self._around = PrometheusMessaging(registry) if messaging else None
        if self._around is not None:
            scheduler.outbox.hooks.add(self._around)
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Let go of the port: a child that outlives its parent would keep it from the next one."""
        self._server.socket.close()

    @property
    def port(self) -> int:
        """Return the port, also of one that was asked for as 0."""
        return self._server.server_port

    def close(self) -> None:
        """Serve no more."""
        self._scheduler.hooks.remove(self._hook)
        if self._around is not None:
            self._scheduler.outbox.hooks.remove(self._around)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        address: Any = self._server.server_address
        return f"<MetricsServer at {address[0]}:{address[1]}>"


def _answering(page: type[Any]) -> type[Answering]:
    """Return what answers with the client's page, as a listener's requests are answered."""

    class MetricsAnswer(Answering, page):  # type: ignore[misc]
        """Answer one request with the page, on a thread of its own; HEAD with its head alone."""

        def do_HEAD(self) -> None:  # noqa: N802 - http.server calls it so
            """Look at the tables as GET does, so that what is told is what GET would get."""
            self.do_GET()

        def end_headers(self) -> None:
            """End the head; to HEAD nothing more is sent."""
            super().end_headers()
            if self.command == "HEAD":
                self.wfile = io.BytesIO()

    return MetricsAnswer
