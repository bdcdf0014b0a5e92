"""The registration demo, from the command line.

Exit codes: 0 the numbers agree, 1 one is off or the show could not reach its end, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from examples.registration_demo.show.books import Books
from examples.registration_demo.show.broker import Broker, mock_broker
from examples.registration_demo.show.conductor import conduct
from examples.registration_demo.show.databases import Urls, mariadb_databases, sqlite_files
from examples.registration_demo.show.errors import ShowError
from examples.registration_demo.show.processes import Processes
from examples.registration_demo.show.screen import screen_on
from examples.registration_demo.show.services import kafka, mariadb_url
from examples.registration_demo.show.stage import CONSUMERS, Stage
from examples.registration_demo.show.topic import own_topic
from examples.registration_demo.show.verdict import announce
from examples.registration_demo.show.view import View
from tools.services import load

MOST_USERS = 100_000
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the show; return the exit code."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without these characters is no reason to fail
    show = _on_services if options.real else _on_sqlite
    try:
        with tempfile.TemporaryDirectory(prefix="asyncflow-demo-") as directory:
            return asyncio.run(show(options, Path(directory)))
    except (ShowError, SQLAlchemyError) as error:
        print(f"error: {getattr(error, 'orig', None) or error}", file=sys.stderr)
        return 1
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("interrupted; every process has been ended", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.registration_demo",
        description="Register users, kill the scheduler, take the broker away, and count what arrived.",
    )
    parser.add_argument("--users", type=_users, default=1000, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the dashboard up at the end, until Ctrl-C")
    parser.add_argument("--real", action="store_true", help="on MariaDB and Apache Kafka, from `make services`")
    return parser


def _users(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MOST_USERS:
        raise argparse.ArgumentTypeError(f"{text!r} users cannot register; give 1 to {MOST_USERS:,}")
    return number


async def _on_sqlite(options: argparse.Namespace, directory: Path) -> int:
    """Run on files in ``directory`` and a broker in a process of our own."""
    _cancel_on_signals()
    with Processes(directory) as processes:
        broker = await mock_broker(processes)
        return await _run(options, "SQLite and a Kafka-protocol broker", sqlite_files(directory), broker, processes)


async def _on_services(options: argparse.Namespace, directory: Path) -> int:
    """Run on the services; what is made there is dropped once the processes have ended."""
    _cancel_on_signals()
    services = load()
    broker = kafka(services)
    groups = [broker.group_of(service) for service in CONSUMERS]
    with (
        mariadb_databases(mariadb_url(services)) as urls,
        own_topic(broker, groups),
        Processes(directory) as processes,
    ):
        return await _run(options, f"MariaDB and {broker.title}", urls, broker, processes)


async def _run(options: argparse.Namespace, where: str, urls: Urls, broker: Broker, processes: Processes) -> int:
    console = Console()
    books = Books(urls)
    try:
        with screen_on(console, View(where, options.users)) as screen:
            stage = Stage(urls=urls, broker=broker, processes=processes, books=books, screen=screen)
            reconciliation = await conduct(stage, options.users)
        announce(console, reconciliation)
        if reconciliation.faults():
            _print_last_words(console, processes)
        if options.keep:
            console.print(f"the dashboard stays at {await stage.dashboard()} until Ctrl-C", highlight=False)
            await asyncio.Event().wait()
        return 1 if reconciliation.faults() else 0
    except (ShowError, SQLAlchemyError):
        _print_last_words(console, processes)
        raise
    finally:
        books.close()


def _cancel_on_signals() -> None:
    """Let the first of these signals unwind everything from where it is; no clean-up is interrupted by another."""
    playing = asyncio.current_task()
    assert playing is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            asyncio.get_running_loop().add_signal_handler(number, playing.cancel)


def _print_last_words(console: Console, processes: Processes) -> None:
    for name, words in processes.last_words().items():
        console.print(f"\n[bold]{name}[/] last logged")
        console.print(words, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
