"""``asyncflow completion``: what lets a shell complete commands and options."""

from __future__ import annotations

import argparse
from typing import Any

from asyncflow.integrations.terminal import shtab

_SHELLS = ("bash", "zsh", "fish")


def add_to(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "completion",
        help="print what lets a shell complete commands and options",
        description='For bash: eval "$(asyncflow completion bash)" in ~/.bashrc. Needs the extra cli.',
    )
    command.add_argument("shell", choices=_SHELLS)
    command.set_defaults(command=_completion)


def _completion(options: argparse.Namespace) -> int:
    print(shtab().complete(options.parser, options.shell))
    return 0
