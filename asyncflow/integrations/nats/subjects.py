"""Which names are subjects that a message can be published to."""

from __future__ import annotations

# A server reads lines of 4096 bytes; the subject of the acknowledgement, and what an account adds, share them.
MAX_SUBJECT_BYTES = 1024


def fault_of_subject(topic: str) -> str | None:
    """Return why no message is published to a subject like this, or None."""
    if topic.startswith("$"):
        return "it begins with $, as the server's own subjects do"
    return fault_of_name(topic)


def fault_of_name(name: str) -> str | None:
    """Return why this is the name of no one subject, or None."""
    if any(character.isspace() or not character.isprintable() for character in name):
        return "a subject has no spaces and no characters that cannot be printed"
    if "*" in name or ">" in name:
        return "* and > are wildcards, for those who listen"
    if not all(name.split(".")):
        return "a subject has no empty part: none before, after or between dots"
    size = len(name.encode())
    return f"it has {size} bytes; a subject here has at most {MAX_SUBJECT_BYTES}" if size > MAX_SUBJECT_BYTES else None
