"""The worker of a queue: takes tasks from a broker, has their handlers do them, and tells of it; without a database."""

from asyncflow.scheduler.queue_worker.queue_worker import QueueWorker
from asyncflow.scheduler.queue_worker.settings import QueueWorkerSettings

__all__ = ["QueueWorker", "QueueWorkerSettings"]
