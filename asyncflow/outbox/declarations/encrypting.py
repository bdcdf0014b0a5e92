"""Whether the payloads of a task type are encrypted, and how far."""

from __future__ import annotations

from typing import Literal

from asyncflow.errors import OptionError
from asyncflow.text import shown

Encrypting = Literal["off", "at_rest", "end_to_end"]
OFF: Encrypting = "off"
AT_REST: Encrypting = "at_rest"
END_TO_END: Encrypting = "end_to_end"


def require_encrypting(value: object, *, travels: bool) -> None:
    """Raise OptionError unless it is how a type encrypts, or None for what its outbox has; a message ``travels``."""
    known = (OFF, AT_REST, END_TO_END) if travels else (OFF, AT_REST)
    if value is not None and value not in known:
        remedy = f"give {', '.join(map(repr, known))}, or None for what the outbox has"
        why = "" if travels or value != END_TO_END else ", which is for messages: a handler is given its arguments"
        raise OptionError(f"encryption is {shown(value)}{why}; {remedy}")
