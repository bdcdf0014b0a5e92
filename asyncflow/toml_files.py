"""TOML files: read whole, and what keeps one from being read."""

from __future__ import annotations

import sys
from os import PathLike
from pathlib import Path
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.text import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def toml_of(path: str | Path) -> dict[str, Any]:
    """Return what a TOML file holds; raises OptionError, which names the file and what is wrong with it."""
    if not isinstance(path, (str, PathLike)):
        raise OptionError(f"path is {shown(path)}; give the path of a TOML file")
    try:
        with open(path, "rb") as file:
            document: dict[str, Any] = tomllib.load(file)
    except OSError as error:
        raise OptionError(f"the file {str(path)!r} cannot be read: {error.strerror}; name a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"the file {str(path)!r} is no TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise OptionError(
            f"the file {str(path)!r} is no UTF-8: {error.reason}, byte {error.start}; save it as UTF-8"
        ) from error
    return document
