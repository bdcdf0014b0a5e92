"""Short texts for outcomes; they are stored on the row and shown in lists."""

from __future__ import annotations

MAX_TEXT_CHARS = 200


def one_line(name: str, detail: str) -> str:
    """Return ``name: detail`` on one line, cut to MAX_TEXT_CHARS."""
    text = " ".join(f"{name}: {detail}".split()) if detail else name
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"
