"""Libraries of extras, imported where one is needed; of one that is missing is told what installs it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from asyncflow.errors import MissingExtraError


def library(module: str, wanted_by: str, extra: str, name: str | None = None) -> ModuleType:
    """Return a module of a library, of this ``name`` if it is another; raises MissingExtraError."""
    try:
        return import_module(module)
    except ImportError as error:
        raise missing(name or module, wanted_by, extra) from error


def missing(name: str, wanted_by: str, extra: str) -> MissingExtraError:
    """Return the error of a library that is not installed, by who wants it."""
    line = f'pip install "asyncflow-outbox[{extra}]"'
    return MissingExtraError(f"{wanted_by} needs the library {name}, which is not installed: {line}")
