"""One command on each of several databases, one after the other; one that does not answer keeps none of the others."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from asyncflow.commands.databases.named import names_of
from asyncflow.commands.printing import tell
from asyncflow.commands.target import scheduler_at
from asyncflow.commands.terminal.as_json import as_json
from asyncflow.errors import AsyncflowError, OptionError, TaskNotFoundError
from asyncflow.text import on_one_line

ToldError = Callable[[Exception], str]
_FAILED = 1


def run(options: argparse.Namespace, told: ToldError) -> int:
    """Run the command; on each database where there are several, none is named, and it only looks.

    Returns the greatest exit code. ``told`` says in a line what an error is. With ``--json`` there is one object, of
    what each database answered, by its name.
    """
    if not _looks_at_all(options):
        return _command(options)
    if options.target:
        scheduler = scheduler_at(options.target)  # once: a function makes another one each time
        options = argparse.Namespace(**{**vars(options), "target": lambda: scheduler})
    names = names_of(options)
    if not names:
        return _command(options)
    if getattr(options, "after", None):
        raise OptionError(f"--after goes on in one database; name it: --database, of {', '.join(names)}")
    return _Together(options, told).run(names)


def _looks_at_all(options: argparse.Namespace) -> bool:
    """Tell whether a command only looks, and neither a database nor one process is named."""
    is_one = any(getattr(options, name, None) is not None for name in ("database", "process"))
    return bool(getattr(options, "looks", False)) and not is_one


def _command(options: argparse.Namespace) -> int:
    code: int = options.command(options)
    return code


class _Together:
    """Run one command on one database after the other; made for one command, used by its thread."""

    def __init__(self, options: argparse.Namespace, told: ToldError) -> None:
        self._options = options
        self._told = told
        self._is_json = bool(getattr(options, "json", False))
        self._answers: dict[str, Any] = {}
        self._missing: list[TaskNotFoundError] = []

    def run(self, names: tuple[str, ...]) -> int:
        """Run it on all; raises TaskNotFoundError if none of them has the task that was asked for."""
        codes = [self._run_on(name) for name in names]
        if len(self._missing) == len(names):
            raise self._missing[0]
        if self._is_json:
            tell(as_json(self._answers))
        return max(codes)

    def _run_on(self, name: str) -> int:
        options = argparse.Namespace(**{**vars(self._options), "database": name})
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                code = _command(options)
        except TaskNotFoundError as error:  # it lies in another one
            self._missing.append(error)
            return 0
        except (AsyncflowError, SQLAlchemyError) as error:
            self._tell_error(name, self._told(error))
            return _FAILED
        if self._is_json:
            self._answers[name] = json.loads(printed.getvalue())
        else:
            tell(f"== {name}")
            tell(printed.getvalue())
        return code

    def _tell_error(self, name: str, error: str) -> None:
        if self._is_json:
            self._answers[name] = {"error": on_one_line(error)}
        else:
            tell(f"== {name}")
            tell(f"{error}\n", sys.stderr)
