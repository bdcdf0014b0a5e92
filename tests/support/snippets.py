"""The Python blocks of a Markdown page, to be run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parents[2]


def snippets(page: str) -> list[CodeType]:
    """Return the page's Python blocks in order, compiled so that an error names the page and its line."""
    return [compile("\n" * line + source, page, "exec", dont_inherit=True) for line, source in _blocks(page)]


def errors(page: str) -> list[str | None]:
    """Return for each block the error that a comment in it tells of, a line `# SomeError: …`."""
    found = (re.search(r"^# (\w+Error):", source, re.MULTILINE) for _, source in _blocks(page))
    return [match and match[1] for match in found]


def _blocks(page: str) -> list[tuple[int, str]]:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, block.start(1)), block[1]) for block in blocks]
