"""How much a type holds, so that one that holds more is no fault."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf

from asyncflow.outbox.dialects.schema.protocol import Size

_SIZED = re.compile(r"([a-z ]+?)\s*\((\d+)\)\s*([a-z ]*)")


def ranks(*families: Sequence[str]) -> dict[str, Size]:
    """Return a size for each name in families that begin with their smallest."""
    return {name: (family[0], rank) for family in families for rank, name in enumerate(family)}


def size_of(type_text: str, ranked: Mapping[str, Size], bounded: Mapping[str, Size]) -> Size:
    """Return kind and size: by the name's rank, or by the number behind a name that ``bounded`` has.

    ``bounded`` tells of each the kind, and the size that it has without a number.
    """
    if type_text in ranked:
        return ranked[type_text]
    if type_text in bounded:
        return bounded[type_text]
    found = _SIZED.fullmatch(type_text)
    name = f"{found[1]} {found[3]}".strip() if found else ""
    if found and name in bounded:
        return bounded[name][0], float(found[2])
    return type_text, inf
