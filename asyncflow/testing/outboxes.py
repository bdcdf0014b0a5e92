"""Which outbox is meant: a test names a task, and seldom where it was declared."""

from __future__ import annotations

from typing import Any

from asyncflow.errors import OptionError, UnknownTaskTypeError, nearest
from asyncflow.outbox import HandlerType, MessageType, Outbox
from asyncflow.outbox.living import outboxes
from asyncflow.outbox.task_function import TaskFunction
from asyncflow.text import shown

DeclaredType = HandlerType | MessageType


def outbox_of(task: Any, given: Outbox | None) -> Outbox:
    """Return the outbox given, or the only one that declares ``task``; raises OptionError or UnknownTaskTypeError."""
    if given is not None:
        return _checked(given)
    if isinstance(task, TaskFunction) and isinstance(task.outbox, Outbox):
        return task.outbox
    if task is None:
        return _only(outboxes(), "this process has")
    declaring = [outbox for outbox in outboxes() if _declares(outbox, task)]
    if not declaring:
        raise UnknownTaskTypeError(
            f"{shown(task)} is declared by no outbox of this process{_near(task)}; import the module that declares it"
        )
    return _only(declaring, f"{shown(task)} is declared by")


def kind_of(outbox: Outbox, task: Any) -> DeclaredType:
    """Return the type of that name, handler or declaration; raises UnknownTaskTypeError."""
    if isinstance(task, str) and task in outbox.task_types:
        return outbox.task_types[task]
    return task if isinstance(task, MessageType) else outbox.handler_types.require(task)


def _declares(outbox: Outbox, task: Any) -> bool:
    if isinstance(task, str):
        return task in outbox.task_types or task in outbox.handler_types
    kinds: list[DeclaredType] = [*outbox.task_types.values(), *outbox.handler_types.values()]
    return any(kind is task or (isinstance(kind, HandlerType) and kind.is_handled_by(task)) for kind in kinds)


def _near(task: Any) -> str:
    names = (name for outbox in outboxes() for name in (*outbox.task_types, *outbox.handler_types))
    return nearest(task, names) if isinstance(task, str) else ""


def _only(found: list[Outbox], said: str) -> Outbox:
    if len(found) != 1:
        number = "no outbox" if not found else f"{len(found)} outboxes"
        raise OptionError(f"{said} {number}; tell which is meant: outbox=")
    return found[0]


def _checked(given: Any) -> Outbox:
    if not isinstance(given, Outbox):
        raise OptionError(f"outbox is {shown(given)}; give the Outbox that declares the task")
    return given
