"""The application for INSTALLED_APPS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules

_BACKEND = "asyncflow.integrations.django.task_backend.OutboxTaskBackend"


class AsyncflowConfig(AppConfig):
    """Bring the migrations and the command ``outbox``; import ``tasks.py`` of every application, for its handlers.

    Where TASKS names the backend of this package, its queues are declared as well, on the thread that sets Django up.
    """

    name = "asyncflow.integrations.django"
    label = "asyncflow"
    verbose_name = "asyncflow"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        self._outboxes_of_tasks: dict[str, Any] = {}

    def outbox_of_tasks(self, alias: str, make: Callable[[], Any]) -> Any:
        """Return the outbox of an entry of TASKS, made once: Django makes a backend for each thread."""
        if alias not in self._outboxes_of_tasks:
            self._outboxes_of_tasks[alias] = make()
        return self._outboxes_of_tasks[alias]

    def ready(self) -> None:
        """Import the modules."""
        autodiscover_modules("tasks")
        aliases = [name for name, its in getattr(settings, "TASKS", {}).items() if its.get("BACKEND") == _BACKEND]
        if aliases:
            from asyncflow.integrations.django.task_backend import declare_queues  # of a library that may be missing

            declare_queues(aliases)
