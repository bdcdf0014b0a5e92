"""Write the constraints of `make test-lowest`: each dependency at the lowest version that pyproject.toml allows.

PYTHON -m tools.lowest
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,-]+\])?(>=(?P<lowest>[\w.]+))?[^;]*(?P<marker>;.*)?")


def constraints(pyproject: dict[str, Any]) -> list[str]:
    """Return a line for pip for each dependency, of the core and of the extras; raises ValueError without a bound."""
    project = pyproject["project"]
    requirements = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    own = {line for line in requirements if not line.startswith(project["name"])}
    return sorted({_at_lowest(line) for line in own})


def _at_lowest(requirement: str) -> str:
    found = _REQUIREMENT.fullmatch(requirement)
    if found is None or found["lowest"] is None:
        raise ValueError(f"{requirement!r} has no lower bound; write NAME>=VERSION, with the reason or tested")
    return f"{found['name']}=={found['lowest']}{found['marker'] or ''}"


if __name__ == "__main__":
    print(*constraints(tomllib.loads(PYPROJECT.read_text())), sep="\n")
