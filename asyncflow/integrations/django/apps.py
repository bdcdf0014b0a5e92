"""The application for INSTALLED_APPS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules

from asyncflow.forks import leave_at_fork

_BACKEND = "asyncflow.integrations.django.task_backend.OutboxTaskBackend"


class AsyncflowConfig(AppConfig):
    """Bring the migrations and the command ``outbox``; import ``tasks.py`` of every application, for its handlers.

    Where TASKS names the backend of this package, its queues are declared as well, on the thread that sets Django up;
    of a backend that is made of it, on whichever thread of the process uses it first.
    """

    name = "asyncflow.integrations.django"
    label = "asyncflow"
    verbose_name = "asyncflow"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        self._outboxes_of_tasks: dict[str, Any] = {}
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Have another lock in the child of a fork: a thread of the parent may hold this one."""
        self._making = threading.RLock()

    def outbox_of_tasks(self, alias: str, make: Callable[[], Any]) -> Any:
        """Return the outbox of an entry of TASKS, made once: Django makes a backend for each thread."""
        with self._making:
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
