"""Payloads for people: JSON laid out, text as text, all else as bytes; and what a person made of one."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.json_text import read_json, written
from asyncflow.integrations.dashboard.redaction import Redaction, put_back

_MOST_PARSED = 8 * 1024 * 1024  # bytes; a larger one is not looked into
_MOST_SHOWN = 128 * 1024  # characters
_MOST_DUMPED = 1024  # bytes of a binary one
_ROW = 16
_MOST_DIFF = 12_000  # characters, kept in the audit


@dataclass(frozen=True, slots=True)
class ShownPayload:
    """Hold what a person sees of a payload."""

    kind: str  # none, json, text, binary, encrypted
    text: str
    size: int  # bytes
    is_whole: bool

    @property
    def is_editable(self) -> bool:
        """Tell whether a person can mend it here."""
        return self.is_whole and self.kind in ("json", "text")


def payload_shown(payload: bytes | None, redaction: Redaction) -> ShownPayload:
    """Return what a person may see of a payload."""
    if payload is None:
        return ShownPayload("none", "", 0, is_whole=True)
    text = _as_text(payload)
    if text is None:
        return ShownPayload("binary", _dump(payload[:_MOST_DUMPED]), len(payload), len(payload) <= _MOST_DUMPED)
    try:
        return _cut("json", written(redaction.of_json(read_json(text)), 2, _MOST_SHOWN), len(payload))
    except (ValueError, RecursionError):
        return _cut("text", text, len(payload))


def context_shown(context: Any, redaction: Redaction) -> str:
    """Return what a person may see of a stage's context, or its beginning."""
    try:
        return written(redaction.of_json(context), 2, _MOST_SHOWN)[:_MOST_SHOWN]
    except RecursionError:
        return "(nested too deeply to be shown)"


def payload_mended(text: str, original: bytes, redaction: Redaction) -> bytes:
    """Return the payload that a person made of what was shown; raises OptionError for what is no JSON any more."""
    shown = payload_shown(original, redaction)
    if not shown.is_editable:
        raise OptionError("the payload is binary or too large to be mended here; replay it as it is, or discard it")
    lines = text.replace("\r\n", "\n")  # as browsers send them
    if shown.kind == "text":
        return lines.encode()
    try:
        return written(put_back(read_json(lines), read_json(original.decode()))).encode()
    except OptionError:
        raise
    except (ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise OptionError(f"the payload is no JSON: {told}") from None


def difference(before: bytes, after: bytes, redaction: Redaction) -> str:
    """Return what a change makes of a payload, as a unified diff of what is shown of it."""
    old, new = (payload_shown(one, redaction).text.splitlines() for one in (before, after))
    text = "\n".join(difflib.unified_diff(old, new, "before", "after", lineterm="", n=2))
    if not text and before != after:
        return "(what differs is not shown)"
    return text if len(text) <= _MOST_DIFF else f"{text[:_MOST_DIFF]}\n(and more)"


def _cut(kind: str, text: str, size: int) -> ShownPayload:
    return ShownPayload(kind, text[:_MOST_SHOWN], size, is_whole=len(text) <= _MOST_SHOWN)


def _as_text(payload: bytes) -> str | None:
    """Return the text that bytes are; None for what is none, or too large to be looked into."""
    try:
        text = payload.decode() if len(payload) <= _MOST_PARSED else "\0"
    except UnicodeDecodeError:
        return None
    has_controls = any(one < " " and one not in "\n\r\t" for one in set(text))
    return None if has_controls else text


def _dump(payload: bytes) -> str:
    """Return bytes as rows of hexadecimal digits, with what of them can be printed beside."""
    rows = (payload[start : start + _ROW] for start in range(0, len(payload), _ROW))
    return "\n".join(
        f"{number * _ROW:06x}  {row.hex(' '):<{_ROW * 3}} {''.join(chr(b) if 32 <= b < 127 else '.' for b in row)}"
        for number, row in enumerate(rows)
    )
