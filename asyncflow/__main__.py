"""``python -m asyncflow``: the command line, for who has its script not in the path."""

from __future__ import annotations

import sys

from asyncflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
