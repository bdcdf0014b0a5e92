"""Several databases from a TOML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from asyncflow.errors import OptionError
from asyncflow.outbox.routing.databases import named
from asyncflow.text import shown
from asyncflow.toml_files import toml_of

_FROM_ENVIRONMENT = "env:"


def engines_from_toml(path: str | Path, **options: Any) -> dict[str, Engine]:
    """Return an engine for each line ``name = "URL"`` of the table ``[databases]``, made with ``options``.

    ``"env:SHOP_DB0"`` in place of a URL is that of the environment's variable, such as one with a password in it.
    Raises OptionError, or what create_engine raises for a driver that is not installed.
    """
    return {name: create_engine(url, **options) for name, url in urls_from_toml(path).items()}


def urls_from_toml(path: str | Path) -> dict[str, URL]:
    """Return the URLs by the names of their databases; raises OptionError, which shows no URL."""
    table = toml_of(path).get("databases")
    if not isinstance(table, dict) or not table or not all(isinstance(url, str) for url in table.values()):
        raise OptionError(f'the file {str(path)!r} has no table [databases] of lines such as db0 = "mysql+pymysql://…"')
    return {name: _url_of(name, given) for name, given in named(table).items()}


def _url_of(name: str, given: str) -> URL:
    text = given
    if given.startswith(_FROM_ENVIRONMENT):
        variable = given.removeprefix(_FROM_ENVIRONMENT)
        if not (text := os.environ.get(variable, "")):
            raise OptionError(f"the database {name!r} is {shown(given)}, but ${variable} is not set; put its URL there")
    try:
        return make_url(text)
    except (ArgumentError, ValueError) as error:
        raise OptionError(
            f"the URL of the database {name!r} cannot be read; write driver://user:password@host/db"
        ) from error
