"""A queue of tasks on RabbitMQ: a queue there for each task type, and one for what workers tell."""

from __future__ import annotations

from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.rabbitmq import extras
from asyncflow.integrations.rabbitmq.queue_lines import (
    RabbitCollecting,
    RabbitSending,
    RabbitTaking,
    RabbitTelling,
)
from asyncflow.integrations.rabbitmq.servers import parameters_of
from asyncflow.integrations.rabbitmq.settings import RabbitMQSettings
from asyncflow.outbox.options import require_whole, settings_given
from asyncflow.scheduler.task_queue import MOST_CREDITS, QueueNames
from asyncflow.text import require_text

LONGEST_NAMESPACE = 60  # a queue's name has 255 bytes


class RabbitMQQueue:
    """Lead tasks to workers elsewhere, and what they tell back, by durable queues of RabbitMQ.

    Given to schedulers as ``queues={name: RabbitMQQueue(servers)}``, and to workers; it holds nothing of a process.
    Each application, and each database, has a ``namespace`` of its own: the names of all queues begin with it.
    """

    def __init__(
        self,
        servers: Any,
        *,
        credits: int = 1000,  # noqa: A002 - what they are called; the built-in is for people at a prompt
        namespace: str = "asyncflow",
        settings: RabbitMQSettings | None = None,
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError.

        ``servers`` and ``settings`` are as for RabbitMQPublisher; of the latter its ``connection_name``,
        ``heartbeat_seconds`` and ``delivery_timeout_seconds``. ``credits`` is how many tasks of each type a scheduler
        has in the queue and at work at the most.
        """
        require_whole("credits", credits, 1, MOST_CREDITS)
        self.credits = credits
        self._namespace = require_text("namespace", namespace, LONGEST_NAMESPACE, OptionError)
        self._library = extras.pika("RabbitMQQueue")
        self._parameters = parameters_of(self._library, servers, settings_given(settings, RabbitMQSettings))

    def sending(self, name: str) -> RabbitSending:
        """Return a line by which letters go to workers."""
        return RabbitSending(self._library, self._parameters, QueueNames(self._namespace, name))

    def collecting(self, name: str, member: str) -> RabbitCollecting:
        """Return a line by which notes come; which member it is matters to nobody here."""
        return RabbitCollecting(self._library, self._parameters, QueueNames(self._namespace, name))

    def taking(self, name: str) -> RabbitTaking:
        """Return a line by which letters come."""
        return RabbitTaking(self._library, self._parameters, QueueNames(self._namespace, name))

    def telling(self, name: str) -> RabbitTelling:
        """Return a line by which notes go back."""
        return RabbitTelling(self._library, self._parameters, QueueNames(self._namespace, name))
