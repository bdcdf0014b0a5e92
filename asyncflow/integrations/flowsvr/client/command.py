"""The command ``asyncflow worker``: its options, and the worker that they make."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.events import Hook
from asyncflow.integrations.flowsvr.client.settings import ClientSettings
from asyncflow.integrations.flowsvr.client.worker import ServiceWorker

TOKEN_VARIABLE = "ASYNCFLOW_TOKEN"
_APART = ("server", "token", "name")
_KINDS = {"float": float, "int": int}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the worker's own options; each setting is one, with dashes."""
    parser.add_argument("--server", metavar="URL", help="of the task service")
    parser.add_argument("--token-file", metavar="FILE", help=f"with the bearer token; default: ${TOKEN_VARIABLE}")
    parser.add_argument("--name", help="of the worker, for the service's list (default: host and process)")
    for field in _settings():
        kind = _KINDS[str(field.type)]
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=kind, metavar=kind.__name__.upper(), help=f"default: {field.default}")


def require_no_options(options: argparse.Namespace, why: str) -> None:
    """Raise OptionError for the first of these options that was given."""
    for name in ("server", "token_file", "name", *(field.name for field in _settings())):
        if getattr(options, name) is not None:
            raise OptionError(f"--{name.replace('_', '-')} is for a worker of a task service; {why}")


def worker_of(target: Any, options: argparse.Namespace, hook: Hook) -> ServiceWorker:
    """Make the worker; raises OptionError."""
    if options.server is None:
        raise OptionError("--server is missing: give the URL of the task service; or the target of a QueueWorker")
    given = {field.name: getattr(options, field.name) for field in _settings()}
    settings = {name: value for name, value in given.items() if value is not None}
    token = _token(options.token_file)
    return ServiceWorker(target, options.server, token=token, name=options.name, hooks=[hook], **settings)


def _settings() -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(ClientSettings) if field.name not in _APART]


def _token(file: str | None) -> str | None:
    """Return the token of the file, or of the environment; never of the command line, which others can read."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE)
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the token file {file!r} cannot be read: {error}") from error
