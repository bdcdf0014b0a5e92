"""The Python blocks of a Markdown page, to be run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parents[2]


def snippets(page: str) -> list[CodeType]:
    """Return the page's Python blocks in order, compiled so that an error names the page and its line."""
    text = (ROOT / page).read_text()
    blocks = []
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, block.start(1))
        blocks.append(compile("\n" * line + block[1], page, "exec", dont_inherit=True))
    return blocks
