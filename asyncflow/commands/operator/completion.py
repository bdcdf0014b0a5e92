"""``asyncflow completion``: what lets a shell complete commands and options."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from asyncflow.commands.terminal.extras import shtab

_SHELLS = ("bash", "zsh", "fish")


def add_to(commands: Any, of_all: argparse.ArgumentParser) -> None:
    """Add the command, which completes ``of_all``."""
    command = commands.add_parser(
        "completion",
        help="print what lets a shell complete commands and options",
        description='For bash: eval "$(asyncflow completion bash)" in ~/.bashrc. Needs the extra cli.',
    )
    command.add_argument("shell", choices=_SHELLS)
    command.set_defaults(command=partial(_completion, of_all))


def _completion(of_all: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    print(shtab().complete(of_all, options.shell))
    return 0
