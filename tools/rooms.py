"""Write the map's tree of rooms and its arrows, read from the code, into docs/architecture.md and its Chinese page.

PYTHON -m tools.rooms
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PAGES = (PAGE, ROOT / "docs" / "zh" / "architecture.md")
_PURPOSE_COLUMN = 24


def tree() -> str:
    """Return the rooms of the package, and the modules that stand beside them, a line each with what it is for."""
    return "\n".join([_line("asyncflow/", ROOT / "asyncflow/__init__.py", 0), *_lines(ROOT / "asyncflow", 1)])


def arrows() -> str:
    """Return the layers that import-linter holds, a block for each contract, from above to below."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    return "\n\n".join(_layers(contract) for contract in contracts if contract["type"] == "layers")


def page(text: str) -> str:
    """Return the page's text with both of them as they are now; raises ValueError if it has no place for one."""
    for name, block in (("tree", tree()), ("arrows", arrows())):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if begin not in text or end not in text:
            raise ValueError(f"{PAGE.name} has no place for the {name}: write {begin.strip()} and {end} around it")
        before, _, after = text.partition(begin)
        text = f"{before}{begin}```text\n{block}\n```\n{end}{after.partition(end)[2]}"
    return text


def _lines(folder: Path, depth: int) -> Iterator[str]:
    if depth == 1:
        for module in sorted(folder.glob("[a-z]*.py")):
            yield _line(module.name, module, depth)
    for init in sorted(folder.glob("*/__init__.py")):
        yield _line(f"{init.parent.name}/", init, depth)
        yield from _lines(init.parent, depth + 1)


def _line(name: str, module: Path, depth: int) -> str:
    return f"{'  ' * depth}{name}".ljust(_PURPOSE_COLUMN) + purpose(module)


def purpose(module: Path) -> str:
    """Return the first paragraph of a module's docstring, in one line; raises ValueError without one."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{module} has no docstring; tell in its first lines what it is for")
    return " ".join(docstring.split("\n\n")[0].split()).replace("``", "")


def _layers(contract: dict[str, Any]) -> str:
    return "\n".join([contract["name"], *(f"  {layer}" for layer in contract["layers"])])


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
