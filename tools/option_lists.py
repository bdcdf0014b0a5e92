"""Options that a docstring tells of, a line each, as a list of Markdown."""

from __future__ import annotations

import re

_OPTION = re.compile(r"``[\w.*]+``(?:, ``[\w.*]+``)*: ")


def with_lists(text: str) -> str:
    """Return the text with each line that begins with an option in quotes, and those that go on with it, as an item."""
    lines: list[str] = []
    is_item = False
    for line in text.splitlines():
        if _OPTION.match(line):
            if not is_item:
                lines.append("")
            lines.append(f"- {line}")
            is_item = True
        elif is_item and line.strip():
            lines.append(f"  {line}")
        else:
            is_item = False
            lines.append(line)
    return "\n".join(lines)
