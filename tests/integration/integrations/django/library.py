"""Django's tasks, from where this version of Django has them: its own from 6.0 on, or the backport."""

from __future__ import annotations

from importlib import import_module
from typing import Any

try:
    tasks: Any = import_module("django.tasks")
except ImportError:
    tasks = import_module("django_tasks")

_exceptions: Any = import_module(f"{tasks.__name__}.exceptions")
signals: Any = import_module(f"{tasks.__name__}.signals")
InvalidTask: Any = getattr(_exceptions, "InvalidTask", None) or _exceptions.InvalidTaskError
TaskResultDoesNotExist: Any = _exceptions.TaskResultDoesNotExist
TaskResultStatus: Any = tasks.TaskResultStatus
