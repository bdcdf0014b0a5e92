"""The command line: ``asyncflow run``, ``serve``, ``worker``, and what a person does: ``asyncflow --help`` lists it.

Exit codes: 0 done, 1 an error that the message explains, 2 wrong usage, 3 stopped, but work had to be left behind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from asyncflow.commands import audit, config, consume, dead_letters, init_db, reshard, run, serve, status, worker
from asyncflow.commands.in_application import ParserInApplication
from asyncflow.commands.printing import tell
from asyncflow.commands.stop_signals import StopHeard
from asyncflow.errors import AsyncflowError
from asyncflow.scheduler import Scheduler
from asyncflow.text import on_one_line

_COMMANDS = (run, worker, consume, reshard, serve, init_db, status, config, dead_letters, audit)  # as --help lists them
_ELSEWHERE = (worker, consume, serve)  # not of an application's database alone


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    return _run(_parser(), arguments)


def main_in_application(program: str, arguments: Sequence[str], make_scheduler: Callable[[], Scheduler]) -> int:
    """Run one command of a framework's own command line on the application's Scheduler; return its exit code."""
    parser = ParserInApplication(prog=program, description="Transactional outbox for SQLAlchemy.")
    parser.set_defaults(target=make_scheduler)
    _add_commands(parser, [command for command in _COMMANDS if command not in _ELSEWHERE])
    return _run(parser, arguments)


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    options = parser.parse_args(arguments)
    try:
        code: int = options.command(options)
    except StopHeard:
        return 0  # before anything had begun
    except AsyncflowError as error:
        tell(f"asyncflow: {error}", sys.stderr)
        return 1
    except SQLAlchemyError as error:
        answer = on_one_line(getattr(error, "orig", None) or error)
        tell(f"asyncflow: the database answered: {answer}", sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="asyncflow", description="Transactional outbox for SQLAlchemy.")
    _add_commands(parser, _COMMANDS)
    return parser


def _add_commands(parser: argparse.ArgumentParser, modules: Iterable[Any]) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in modules:
        module.add_to(commands)


if __name__ == "__main__":
    sys.exit(main())
