"""What a type asks for whose rows change data capture reads: only what the row itself can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow.errors import OptionError
from asyncflow.text import shown

if TYPE_CHECKING:
    from asyncflow.outbox.declarations.task_type import MessageType


def require_capturable(kind: MessageType) -> None:
    """Raise OptionError for a captured type that asks for what a relay does."""
    if not isinstance(kind.captured, bool):
        raise OptionError(f"captured is {shown(kind.captured)}; give True or False")
    if not kind.captured:
        return
    if kind.topic != kind.name:
        raise OptionError(
            f"topic of {kind.name!r} is {kind.topic!r}, and it is captured: of the topic its rows hold the type's name "
            f"alone; leave topic out, and route by the name in the connector's configuration"
        )
    asked = (
        ("ordered", kind.ordered, "leave it out: who captures goes by the order of the commits"),
        ("rate_limit_per_second", kind.rate_limit_per_second is not None, "leave it out, or limit the connector"),
        ("limit", kind.limit is not None, "leave it out: there are no rounds"),
        ("enabled", not kind.enabled, "leave it out: its rows are there to be read as soon as they are committed"),
        ("cloudevents", kind.cloudevents is not None, "give the type cloudevents=None"),
    )
    for name, is_asked, remedy in asked:
        if is_asked:
            raise not_captured(kind, name, getattr(kind, name), remedy)


def not_captured(kind: MessageType, name: str, value: object, remedy: str) -> OptionError:
    """Return the error of an option that is a relay's work, of a type whose rows no relay takes."""
    return OptionError(f"{name} of {kind.name!r} is {value!r}, and it is captured: no relay takes its rows; {remedy}")
