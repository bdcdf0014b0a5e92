"""Parameters of single items, written ``0=a,1=b``."""

from __future__ import annotations

from typing import Any

from asyncflow.errors import OptionError
from asyncflow.text import shown


def item_parameters(text: Any, item_count: int) -> dict[int, str]:
    """Return each item's parameter, verbatim; raises OptionError for what is no such text, or no such item."""
    if not isinstance(text, str):
        raise OptionError(f"sharding_item_parameters is {shown(text)}; give text such as '0=a,1=b'")
    parameters: dict[int, str] = {}
    for part in filter(None, text.split(",")):
        number, written, value = part.partition("=")
        item = _item(number.strip(), item_count) if written else None
        if item is None or item in parameters:
            raise OptionError(
                f"sharding_item_parameters is {shown(text)}: {part!r} is at fault; "
                f"give each item from 0 to {item_count - 1} at most once, such as '0=a,1=b'"
            )
        parameters[item] = value
    return parameters


def _item(text: str, item_count: int) -> int | None:
    # isdecimal takes digits of every script, and so does int.
    return int(text) if text.isdecimal() and int(text) < item_count else None
