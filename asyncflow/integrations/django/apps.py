"""The application for INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class AsyncflowConfig(AppConfig):
    """Bring the migrations and the command ``outbox``; import ``tasks.py`` of every application, for its handlers."""

    name = "asyncflow.integrations.django"
    label = "asyncflow"
    verbose_name = "asyncflow"

    def ready(self) -> None:
        """Import the modules."""
        autodiscover_modules("tasks")
