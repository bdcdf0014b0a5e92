"""Templates, and what they say of times, numbers and names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from asyncflow.outbox import Status
from asyncflow.scheduler.diagnosis.finding import lasting
from asyncflow.scheduler.diagnosis.words import say

_DAY = 86400.0


class Templates:
    """Render the pages; made once, any thread uses it."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("asyncflow.integrations.dashboard", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(moment=moment, lasting=lasting, visible=visible, capped=capped, rate=rate)
        self._environment.filters.update(status_name=status_name, window=window)

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """Return a template's text, filled in."""
        return self._environment.get_template(name).render(values)


def linked(root: str, path: str, query: Mapping[str, Any] | None = None) -> str:
    """Return an address below the dashboard's root; values that are None or empty are left out of the query."""
    given = {name: value for name, value in (query or {}).items() if value not in (None, "")}
    told = f"?{urlencode(given)}" if given else ""
    return f"{quote(root)}/{quote(path)}{told}"


def window(seconds: float) -> str:
    """Return how long a time is that is looked back on, in hours or days."""
    if seconds >= 2 * _DAY:
        return say("{count} d", count=f"{seconds // _DAY:.0f}")
    return say("{count} h", count=f"{seconds // 3600:.0f}")


def moment(value: datetime | None) -> str:
    """Return a moment for people, in UTC."""
    return "-" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"


def status_name(status: int) -> str:
    """Return the name of a status by its number."""
    return Status(status).name


def capped(count: int, limit: int) -> str:
    """Return a count that stops at a limit, and say so."""
    return f"≥ {limit:,}" if count >= limit else f"{count:,}"


def rate(per_second: float) -> str:
    """Return how many there are a second."""
    if per_second >= 100:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second >= 0.05 or per_second == 0 else "< 0.1"


def visible(value: object) -> str:
    """Return a text with all escaped that hides or turns what stands around it; lines and tabs stay."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else repr(one)[1:-1] for one in text)
