"""The command line: ``asyncflow run``, ``serve``, ``worker``, and what a person does: ``asyncflow --help`` lists it.

Exit codes: 0 done, 1 an error that the message explains, 2 wrong usage, 3 stopped, but work had to be left behind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from asyncflow.commands import audit, config, dead_letters, init_db, reshard, run, serve, status, worker
from asyncflow.commands.printing import tell
from asyncflow.commands.stop_signals import StopHeard
from asyncflow.errors import AsyncflowError
from asyncflow.text import on_one_line

_COMMANDS = (run, worker, reshard, serve, init_db, status, config, dead_letters, audit)  # as --help lists them


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
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
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
