"""The client of the task service, and the worker that takes its tasks over HTTP."""

from asyncflow.integrations.flowsvr.client.answers import Created, Held, HeldTask, Outcome, Page, Settled
from asyncflow.integrations.flowsvr.client.client import TaskServiceClient
from asyncflow.integrations.flowsvr.client.settings import ClientSettings
from asyncflow.integrations.flowsvr.client.worker import ServiceWorker

__all__ = [
    "ClientSettings",
    "Created",
    "Held",
    "HeldTask",
    "Outcome",
    "Page",
    "ServiceWorker",
    "Settled",
    "TaskServiceClient",
]
