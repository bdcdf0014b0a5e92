"""The command line within that of a framework: what works on the application's own Scheduler needs no name for it."""

from __future__ import annotations

import argparse
from typing import Any

_NAMED_ELSEWHERE = {"target", "--database-url", "--databases", "--prefix", "--schema", "--processes"}


class ParserInApplication(argparse.ArgumentParser):
    """Leave out the arguments that name a Scheduler, or a database and its tables."""

    def add_argument(self, *names: Any, **options: Any) -> Any:
        """Add an argument, unless it is one of those."""
        return None if names[0] in _NAMED_ELSEWHERE else super().add_argument(*names, **options)
