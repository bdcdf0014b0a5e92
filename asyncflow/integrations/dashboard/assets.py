"""The dashboard's own script and style: read once, found by name and never by path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_KINDS = {"dashboard.css": "text/css", "dashboard.js": "text/javascript"}


class Asset(NamedTuple):
    """Hold a file of the package."""

    kind: str
    content: bytes
    version: str  # changes with the content


@cache
def assets() -> Mapping[str, Asset]:
    """Return the files by their names."""
    folder = files("asyncflow.integrations.dashboard") / "static"
    contents = {name: folder.joinpath(name).read_bytes() for name in _KINDS}
    return {
        name: Asset(_KINDS[name], content, hashlib.sha256(content).hexdigest()[:12])
        for name, content in contents.items()
    }
