"""Which names Kafka lets a topic have."""

from __future__ import annotations

import re

MOST_CHARACTERS = 249
_FOREIGN = re.compile(r"[^a-zA-Z0-9._-]")


def fault_of(topic: str) -> str | None:
    """Return why Kafka takes no topic of this name, or None."""
    if topic in ("", ".", ".."):
        return "Kafka takes no empty name and no dots alone"
    if len(topic) > MOST_CHARACTERS:
        return f"it has {len(topic)} characters, and Kafka takes at most {MOST_CHARACTERS}"
    foreign = _FOREIGN.search(topic)
    if foreign:
        return f"it holds {foreign[0]!r}, and Kafka takes the letters a-z and A-Z, digits, '.', '_' and '-'"
    return None
