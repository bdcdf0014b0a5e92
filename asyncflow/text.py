"""Checks of names and keys, shared by every door, and how a value is told."""

from __future__ import annotations

import threading
from typing import Any


def require_text(name: str, value: Any, longest: int, error: type[Exception]) -> str:
    """Return ``value`` if it is text of 1 to ``longest`` characters that every database keeps exactly."""
    fault = _fault(value, longest)
    if fault:
        raise error(f"{name} is {shown(value)}: {fault}; give text of 1 to {longest} characters")
    return str.__str__(value)  # drivers and orjson treat an Enum that is text in ways of their own


def _fault(value: Any, longest: int) -> str | None:
    if not isinstance(value, str):
        return f"{a_type_of(value)}, not text"
    if not value.strip():
        return "empty"
    if len(value) > longest:
        return f"{len(value)} characters long"
    if value != value.strip():
        # MySQL compares text without its trailing spaces.
        return "surrounded by spaces"
    if not value.isprintable() and any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in value):
        return "holding a control character or half a surrogate pair"
    return None


def shown(value: Any) -> str:
    """Return the value for an error's text: its repr, cut short, or its type where that raises."""
    try:
        return f"{value!r:.60}"
    except BaseException as fault:  # noqa: BLE001 - a foreign __repr__ must not replace the error that is being told
        _pass_on_an_interrupt(fault)
        return a_type_of(value)


def told(error: BaseException) -> str:
    """Return an error's type and text; the type alone where its text cannot be had."""
    try:
        text = str(error)
    except BaseException as fault:  # noqa: BLE001 - an error that cannot be printed is still an error
        _pass_on_an_interrupt(fault)
        text = ""
    return f"{type(error).__name__}: {text}"


def _pass_on_an_interrupt(fault: BaseException) -> None:
    """Raise what is no Exception on the main thread, where it may be a signal's; elsewhere it is the foreign code's."""
    if not isinstance(fault, Exception) and threading.current_thread() is threading.main_thread():
        raise fault


def a_type_of(value: Any) -> str:
    """Return the name of a value's type with its article: ``an int``."""
    name = type(value).__qualname__.rpartition("<locals>.")[2]
    return f"{'an' if name[:1].lower() in set('aeio') else 'a'} {name}"


def printable(value: object) -> str:
    """Return the value's text on one line, with all escaped that a terminal acts on or hides.

    These are controls, those of C1 too, and marks that change the direction of text.
    """
    text = str(value)
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return repr(character)[1:-1]


def in_ascii(character: str) -> str:
    """Return a character as JSON escapes it: by four digits, or twice four for what is beyond them."""
    units = character.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def on_one_line(value: object) -> str:
    """Return the value's text with each run of white space as one space: for a terminal's line."""
    return " ".join(str(value).split())


def hide_parameters(error: BaseException | None) -> None:
    """Let no text of an error, of its causes or of those of its group tell the parameters of SQL: they are data.

    A traceback tells all of them; ``params`` of SQLAlchemy's errors stay for whoever asks.
    """
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if hasattr(one, "hide_parameters"):
            one.hide_parameters = True
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def without_parameters(text: str) -> str:
    """Return an error's text without the parameters that SQLAlchemy tells behind the statement: they are data."""
    return text.partition("\n[parameters:")[0]
