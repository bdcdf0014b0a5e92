"""Duplicates: where a task type was declared before, and what mends that it is declared again."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from asyncflow.errors import DuplicateTaskTypeError


class WhereDeclared(NamedTuple):
    """Tell where a handler stands in the application's code."""

    module: str
    name: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}.{self.name} ({os.path.basename(self.file)}:{self.line})"


def duplicate(task_type: str, first: Callable[..., Any] | None, second: Callable[..., Any] | None) -> Exception:
    """Return the error of a type that is declared for the ``second`` handler, and was for the ``first``."""
    one, other = _where(first), _where(second)
    if one is None:
        return DuplicateTaskTypeError(f"the task type {task_type!r} is declared already; declare it once")
    told = f"the task type {task_type!r} is declared already, for {one}"
    if other is None or one.name != other.name:
        return DuplicateTaskTypeError(f"{told}; give one of them another name: @outbox.task('another.name')")
    if one.module == other.module:
        return DuplicateTaskTypeError(
            f"{told}; declare it once: where its code is run again, as in a notebook or by a reload, make the Outbox "
            f"anew before it"
        )
    if (one.file, one.line) == (other.file, other.line):
        return DuplicateTaskTypeError(
            f"{told}, for its module is loaded twice, as {one.module} and as {other.module}; declare types in a module "
            f"that is imported by one name, and not run itself"
        )
    return DuplicateTaskTypeError(
        f"{told}, and now for {other}; give one of them another name: @outbox.task('another.name')"
    )


def _where(handler: Callable[..., Any] | None) -> WhereDeclared | None:
    code = None if handler is None else getattr(inspect.unwrap(handler), "__code__", None)
    if code is None:
        return None
    module, name = getattr(handler, "__module__", "?"), getattr(handler, "__qualname__", code.co_name)
    return WhereDeclared(module, name, code.co_filename, code.co_firstlineno)
