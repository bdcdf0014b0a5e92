"""A queue whose workers tell a task service what became of their tasks, in place of the broker."""

from __future__ import annotations

from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.flowsvr.client.client import TaskServiceClient
from asyncflow.integrations.flowsvr.client.settings import ClientSettings
from asyncflow.integrations.flowsvr.queueing.service_telling import ServiceTelling
from asyncflow.scheduler.task_queue import Collecting, Sending, Taking, TaskQueue
from asyncflow.text import shown


class OutcomesByService:
    """Lead to a queue's broker, and tell the task service at ``server`` of what its workers do.

    Given to workers in the place of their queue; schedulers have the queue itself. The service is one over the same
    task table; ``options`` are the fields of ClientSettings, such as ``token`` of a worker's role. It holds nothing of
    a process. Raises OptionError or UnknownOptionError.
    """

    def __init__(self, queue: TaskQueue, server: str, *, transport: Any = None, **options: Any) -> None:
        if isinstance(queue, type) or not isinstance(queue, TaskQueue):
            raise OptionError(f"queue is {shown(queue)}; give one such as RedisQueue(url)")
        # Here nothing waits for one request: a worker keeps what it has to tell, and tells it again.
        self._options = {"retry_for_seconds": 0.0, **options}
        ClientSettings.of(server=server, **self._options)
        self._queue = queue
        self._server = server
        self._transport = transport
        self.credits = queue.credits

    def sending(self, name: str) -> Sending:
        """Return the queue's own line by which letters go."""
        return self._queue.sending(name)

    def collecting(self, name: str, member: str) -> Collecting:
        """Return the queue's own line by which notes come, of workers that tell by the broker."""
        return self._queue.collecting(name, member)

    def taking(self, name: str) -> Taking:
        """Return the queue's own line by which letters come."""
        return self._queue.taking(name)

    def telling(self, name: str) -> ServiceTelling:
        """Return a line to the service."""
        return ServiceTelling(TaskServiceClient(self._server, transport=self._transport, **self._options))
