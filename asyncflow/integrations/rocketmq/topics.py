"""Which names a topic may have."""

from __future__ import annotations

import re

MAX_LENGTH = 127
_PLAIN = re.compile(r"[%|A-Za-z0-9_-]+")


def fault_of_topic(topic: str) -> str | None:
    """Return why RocketMQ has no topic of this name, or None."""
    if not topic:
        return "it is empty"
    if len(topic) > MAX_LENGTH:
        return f"it has {len(topic)} characters; {MAX_LENGTH} is the most"
    if not _PLAIN.fullmatch(topic):
        return "letters, digits, _, -, % and | are all that a topic's name may hold"
    return None
