"""The command line: ``asyncflow run``, ``serve``, ``worker``, and what a person does: ``asyncflow --help`` lists it.

Exit codes: 0 done, 1 an error that the message explains, 2 wrong usage, 3 stopped, but work had to be left behind,
130 interrupted at the terminal.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from asyncflow import __version__
from asyncflow.commands import consume, init_db, reshard, roll_over, run, serve, worker
from asyncflow.commands.databases import together
from asyncflow.commands.diagnosis import doctor, explain
from asyncflow.commands.in_application import ParserInApplication
from asyncflow.commands.interrupts import INTERRUPTED, interrupts
from asyncflow.commands.operator import (
    archive,
    audit,
    charts,
    completion,
    config,
    dashboard,
    dead_letters,
    instances,
    purge,
    schedules,
    schema,
    status,
    tasks,
    top,
    types,
)
from asyncflow.commands.printing import tell
from asyncflow.commands.stop_signals import StopHeard
from asyncflow.commands.target import with_target
from asyncflow.driver_errors import code_of
from asyncflow.errors import AsyncflowError, TablesMissingError, TargetNotFoundError, nearest
from asyncflow.scheduler import Scheduler
from asyncflow.text import on_one_line, printable

_RUNNING = (run, worker, consume, reshard, serve, dashboard, init_db, schema, roll_over)
_LOOKING = (
    status,
    doctor,
    explain,
    top,
    charts,
    types,
    tasks,
    dead_letters,
    instances,
    schedules,
    purge,
    config,
    audit,
    archive,
    completion,
)
_REMEDIES = {  # of what SQLite says without the file that it means
    "unable to open database file": "; the file's folder has to be there, and to be writable for this user",
    "attempt to write a readonly database": "; the file and its folder have to be writable for this user",
}
_MISSING = {1146, 1054, "42P01", "42703"}  # a table or a column, by MySQL and by PostgreSQL
_MISSING_IN_SQLITE = ("no such table", "no such column")
_RIGHT_TABLES = "; is it the right database, and are --schema and --prefix those of its tables?"
_TABLES_MISSING = (
    " `asyncflow schema check` tells what of the tables is missing there, and `asyncflow init-db` makes tables that are"
)
_PLACE_IN_STATEMENT = re.compile(r" LINE \d+: .*")  # of PostgreSQL, whose sign below it points at nothing on one line
_FAILED = 1
_COMMANDS = (*_RUNNING, *_LOOKING)  # as --help lists them
_ELSEWHERE = (worker, consume, serve, archive, completion)  # not of an application's database alone


class _Parser(argparse.ArgumentParser):
    """Tell, of a command or option that there is none of, the nearest that there is."""

    def error(self, message: str) -> NoReturn:
        """End with wrong usage, and a suggestion."""
        wrong = re.search(r"unrecognized arguments: (--?\S+)|invalid choice: '([^']*)'", message)
        if wrong is not None:
            given = (wrong[1] or wrong[2]).partition("=")[0]
            choices = [str(name) for action in self._actions for name in action.choices or ()]
            options = _options_of(self)
            is_elsewhere = bool(wrong[1]) and given in options
            message += " (another command has it)" if is_elsewhere else nearest(given, options if wrong[1] else choices)
        super().error("\n".join(map(printable, message.split("\n"))))


class _TellingParserInApplication(ParserInApplication, _Parser):
    """Do so within an application."""


def _options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a parser, and of its commands: it does not know which of them was meant."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found.update(*map(_options_of, action.choices.values()))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Without arguments it is the one that this process is for."""
    if arguments is not None:
        return _run(parser, arguments)
    code = _FAILED
    interrupts.begin()
    try:
        code = _run(parser, sys.argv[1:])
    except SystemExit as ended:  # help, or wrong usage
        code = ended.code if isinstance(ended.code, int) else _FAILED
        raise
    finally:
        interrupts.end(code)
    return code


def main_in_application(program: str, arguments: Sequence[str], make_scheduler: Callable[[], Scheduler]) -> int:
    """Run one command of a framework's own command line on the application's Scheduler; return its exit code."""
    return _run(partial(parser_in_application, program, make_scheduler), arguments)


def _run(make_parser: Callable[[], argparse.ArgumentParser], arguments: Sequence[str]) -> int:
    try:
        parser, given = make_parser(), list(arguments)
        asked = argparse.Namespace(given=given, parser=parser, processes=None, no_target_code=_FAILED)
        return _run_command(with_target(parser.parse_args(given, asked)))
    except KeyboardInterrupt:
        tell("asyncflow: interrupted; what was done by then is done", sys.stderr)
        return INTERRUPTED


def _run_command(options: argparse.Namespace) -> int:
    try:
        code = together.run(options, partial(_told, options))
        sys.stdout.flush()
    except BrokenPipeError:
        return _after_broken_pipe()
    except StopHeard:
        return 0  # before anything had begun
    except (AsyncflowError, SQLAlchemyError) as error:
        tell(_told(options, error), sys.stderr)
        code = options.no_target_code if isinstance(error, TargetNotFoundError) else _FAILED
    return code


def _told(options: argparse.Namespace, error: Exception) -> str:
    is_named = hasattr(options, "schema") and not options.target  # an application knows where its tables are
    if isinstance(error, AsyncflowError):
        return f"asyncflow: {error}{_RIGHT_TABLES if is_named and isinstance(error, TablesMissingError) else ''}"
    cause = getattr(error, "orig", None) or error
    answer = _PLACE_IN_STATEMENT.sub("", on_one_line(cause))
    is_missing = code_of(cause) in _MISSING or answer.startswith(_MISSING_IN_SQLITE)
    right = _RIGHT_TABLES if is_named else "; is it the right database?"
    remedy = f"{right}{_TABLES_MISSING}" if is_missing else _REMEDIES.get(answer, "")
    whose = "the database answered" if isinstance(error, DBAPIError) else "SQLAlchemy says"
    return f"asyncflow: {whose}: {answer}{remedy}"


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    of_all = _Parser(prog="asyncflow", description="Transactional outbox for SQLAlchemy.")
    of_all.add_argument("--version", action="version", version=f"asyncflow {__version__}")
    _add_commands(of_all, _COMMANDS)
    return of_all


def parser_in_application(program: str, make_scheduler: Callable[[], Scheduler]) -> argparse.ArgumentParser:
    """Return the parser of the commands that work on an application's own Scheduler."""
    of_application = _TellingParserInApplication(prog=program, description="Transactional outbox for SQLAlchemy.")
    of_application.set_defaults(target=make_scheduler)
    _add_commands(of_application, [command for command in _COMMANDS if command not in _ELSEWHERE])
    return of_application


def _add_commands(parser: argparse.ArgumentParser, modules: Iterable[Any]) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in modules:
        module.add_to(commands)


def _after_broken_pipe() -> int:
    """Let nothing more be written where nobody reads; that is no fault of ours, nor of the reader's."""
    with suppress(OSError, ValueError):  # a test's stream has no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
