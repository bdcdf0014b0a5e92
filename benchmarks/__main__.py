"""The command line: ``python -m benchmarks NAME [--json] [--seconds N]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks.figure import Figure, machine
from benchmarks.ground import NotReadyError
from benchmarks.latency import latency
from benchmarks.relay import relay

BENCHMARKS: dict[str, Callable[[float], list[Figure]]] = {"relay": relay, "latency": latency}


def main() -> int:
    """Run the named benchmarks; print a table, with ``--json`` one JSON object for each figure after it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--json", action="store_true", help="end with one JSON object a figure, the main one last")
    parser.add_argument("--seconds", type=float, default=20.0, help="measure about this long (default: %(default)s)")
    options = parser.parse_args()
    if not 0 < options.seconds <= 3600:
        parser.error(f"--seconds is {options.seconds:g}; give 1 to 3600")
    names = list(BENCHMARKS) if options.name == "all" else [options.name]
    try:
        figures = [figure for name in names for figure in _run(name, options.seconds)]
    except NotReadyError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if options.json:
        for figure in figures:
            print(figure.json())
    return 0


def _run(name: str, seconds: float) -> list[Figure]:
    print(f"{name}: {BENCHMARKS[name].__module__} on {machine()['cores']} cores", flush=True)
    figures = BENCHMARKS[name](seconds)
    for figure in figures:
        print("  " + figure.line(), flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main())
