"""All pages and forms, in the order in which they are looked through."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

from asyncflow.integrations.dashboard.page import Deed, WebPage
from asyncflow.integrations.dashboard.pages import (
    audit,
    charts,
    dead_letters,
    instances,
    keys,
    now,
    schedules,
    search,
    task,
    types,
)

_MODULES: Sequence[ModuleType] = (now, dead_letters, task, types, charts, search, instances, keys, schedules, audit)


@cache
def pages() -> Sequence[WebPage]:
    """Return the pages."""
    return _all("PAGES")


@cache
def deeds() -> Sequence[Deed]:
    """Return the forms that change something."""
    return _all("DEEDS")


def _all(name: str) -> Sequence[Any]:
    return tuple(one for module in _MODULES for one in getattr(module, name, ()))
