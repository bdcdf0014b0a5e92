"""The command line: `python -m tools.services VERB [SERVICE ...]`."""

from __future__ import annotations

import argparse
import shlex
import sys
import time

from tools.services import life
from tools.services.errors import ServiceError
from tools.services.state import Record


def main() -> int:
    """Carry out one verb, and return the exit code."""
    verb, names = _arguments()
    try:
        return VERBS[verb](names)
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _up(names: list[str]) -> int:
    """Start services; what serves already is kept."""
    begin = time.monotonic()
    for record in life.up(*names):
        print(_line(record))
    print(f"ready in {time.monotonic() - begin:.1f} s; `python -m tools.services down` stops them")
    return 0


def _down(names: list[str]) -> int:
    """Stop what was started; data stay."""
    for record in life.down(*names):
        print(_line(record))
    return 0


def _status(names: list[str]) -> int:
    """Tell what is up; the exit code is 1 unless everything is."""
    records = life.status(*names)
    for name, record in records.items():
        print(_line(record) if record else f"{name:11} down  (never started)")
    return 0 if all(record and life.serves(record) for record in records.values()) else 1


def _env(names: list[str]) -> int:
    """Print the addresses of what is up, as a shell's export lines."""
    for name, record in life.status(*names).items():
        if record and record.is_alive:
            print(f"export {life.SERVICES[name].variable}={shlex.quote(record.address)}")
    return 0


def _kill(names: list[str]) -> int:
    """End services by SIGKILL."""
    for name in names or life.USUAL:
        life.kill(name)
    return 0


def _remove(names: list[str]) -> int:
    """Stop what was started and delete its data."""
    life.remove(*names)
    return 0


VERBS = {"up": _up, "down": _down, "status": _status, "env": _env, "kill": _kill, "remove": _remove}


def _arguments() -> tuple[str, list[str]]:
    """Return the verb, and the names of the services."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.services",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="verbs:\n" + "\n".join(f"  {verb:8} {do.__doc__}" for verb, do in VERBS.items()),
    )
    parser.add_argument("verb", choices=VERBS, help="what to do; see below")
    parser.add_argument(
        "services",
        nargs="*",
        metavar="service",
        help=f"some of {', '.join(life.SERVICES)}; up: the first three if none is named",
    )
    parsed = parser.parse_args()
    return parsed.verb, parsed.services


def _line(record: Record) -> str:
    """Return one line about a service."""
    fate = "up" if life.serves(record) else "down"
    pid = f", pid {record.process.pid}" if record.process else ""
    return f"{record.service:11} {fate:5} {record.address}  ({record.note}{pid})"


if __name__ == "__main__":
    sys.exit(main())
