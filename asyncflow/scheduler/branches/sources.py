"""Several databases from a TOML file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from asyncflow.errors import OptionError
from asyncflow.outbox.routing.databases import named
from asyncflow.text import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FROM_ENVIRONMENT = "env:"


def engines_from_toml(path: str | Path, **options: Any) -> dict[str, Engine]:
    """Return an engine for each line ``name = "URL"`` of the table ``[databases]``, made with ``options``.

    ``"env:SHOP_DB0"`` in place of a URL is that of the environment's variable, such as one with a password in it.
    Raises OptionError, or what create_engine raises for a driver that is not installed.
    """
    return {name: create_engine(url, **options) for name, url in urls_from_toml(path).items()}


def urls_from_toml(path: str | Path, environment: Mapping[str, str] = os.environ) -> dict[str, URL]:
    """Return the URLs by the names of their databases; raises OptionError, which shows no URL."""
    if not isinstance(path, (str, PathLike)):
        raise OptionError(f"path is {shown(path)}; give the path of a TOML file")
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise OptionError(f"the file {str(path)!r} cannot be read: {error.strerror}; name a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"the file {str(path)!r} is no TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise OptionError(
            f"the file {str(path)!r} is no UTF-8: {error.reason}, byte {error.start}; save it as UTF-8"
        ) from error
    table = content.get("databases")
    if not isinstance(table, dict) or not table or not all(isinstance(url, str) for url in table.values()):
        raise OptionError(f'the file {str(path)!r} has no table [databases] of lines such as db0 = "mysql+pymysql://…"')
    return {name: _url_of(name, given, environment) for name, given in named(table).items()}


def _url_of(name: str, given: str, environment: Mapping[str, str]) -> URL:
    text = given
    if given.startswith(_FROM_ENVIRONMENT):
        variable = given.removeprefix(_FROM_ENVIRONMENT)
        if not (text := environment.get(variable, "")):
            raise OptionError(f"the database {name!r} is {shown(given)}, but ${variable} is not set; put its URL there")
    try:
        return make_url(text)
    except (ArgumentError, ValueError) as error:
        raise OptionError(
            f"the URL of the database {name!r} cannot be read; write driver://user:password@host/db"
        ) from error
