"""The command line: ``python -m benchmarks NAME [--json] [--seconds N] [--rows N]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import orjson

from benchmarks import charts, report
from benchmarks.backlog import backlog
from benchmarks.brokers import brokers
from benchmarks.dead import dead
from benchmarks.enqueue import enqueue
from benchmarks.figure import Figure
from benchmarks.ground import NotReadyError
from benchmarks.history import history
from benchmarks.idle import idle
from benchmarks.instances import instances
from benchmarks.latency import latency
from benchmarks.memory import memory
from benchmarks.pages import pages
from benchmarks.plan import Plan
from benchmarks.queue import queue
from benchmarks.relay import relay
from benchmarks.relay_pg import relay_pg
from benchmarks.rolling import rolling_beside_deleting
from benchmarks.shards import shards
from benchmarks.tasks import tasks
from benchmarks.types import types
from benchmarks.watched import watched_beside_unwatched
from benchmarks.watching import watch

_WATCHED = ("relay", "tasks")


class Benchmark(NamedTuple):
    """Tell how to measure, and for how many seconds by default; filling tables comes on top."""

    measure: Callable[[Plan], Iterable[Figure]]  # told as they are measured, where it takes them one by one
    seconds: float


BENCHMARKS: dict[str, Benchmark] = {
    "relay": Benchmark(relay, 120),
    "relay_pg": Benchmark(relay_pg, 120),
    "brokers": Benchmark(brokers, 120),
    "enqueue": Benchmark(enqueue, 60),
    "latency": Benchmark(latency, 90),
    "tasks": Benchmark(tasks, 100),
    "queue": Benchmark(queue, 100),
    "idle": Benchmark(idle, 80),
    "shards": Benchmark(shards, 60),
    "types": Benchmark(types, 60),
    "instances": Benchmark(instances, 90),
    "backlog": Benchmark(backlog, 60),
    "history": Benchmark(history, 40),
    "dead": Benchmark(dead, 50),
    "memory": Benchmark(memory, 40),
    "pages": Benchmark(pages, 120),
    "rolling": Benchmark(rolling_beside_deleting, 120),
    "watched": Benchmark(watched_beside_unwatched, 180),
}


def main() -> int:
    """Run the named benchmark, or all; print the table, write the results of all to files."""
    options = _options()
    watch(metrics=options.metrics, tracing=options.tracing)
    names = list(BENCHMARKS) if options.name == "all" else [options.name]
    began = time.monotonic()
    results: dict[str, list[Figure]] = {}
    print(report.heading(), flush=True)
    for name in names:
        try:
            results[name] = _run(name, options)
        except NotReadyError as error:
            print(f"benchmarks: {name}: {error}", file=sys.stderr)
            return 1
    if options.name == "all":
        _keep(results, time.monotonic() - began)
    if options.json:
        print(orjson.dumps(report.record(results)).decode())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--json", action="store_true", help="end with everything as one JSON object")
    parser.add_argument("--seconds", type=float, help="measure each about this long (default: its own; 1: a smoke)")
    parser.add_argument("--rows", type=int, help="rows of large tables (default: as many as the goals name)")
    parser.add_argument("--metrics", action="store_true", help="count with Prometheus on our side of relay and tasks")
    parser.add_argument("--tracing", type=float, metavar="SHARE", help="trace on our side, and sample so much: 0.01")
    options = parser.parse_args()
    if options.seconds is not None and not 0 < options.seconds <= 3600:
        parser.error(f"--seconds is {options.seconds:g}; give 1 to 3600")
    if options.rows is not None and not 1000 <= options.rows <= 100_000_000:
        parser.error(f"--rows is {options.rows}; give 1,000 to 100,000,000")
    if options.tracing is not None and not 0 <= options.tracing <= 1:
        parser.error(f"--tracing is {options.tracing:g}; give the share of traces that are sampled, 0 to 1")
    if (options.metrics or options.tracing is not None) and options.name not in _WATCHED:
        parser.error(f"--metrics and --tracing are for {', '.join(_WATCHED)}; leave them out of {options.name}")
    return options


def _run(name: str, options: argparse.Namespace) -> list[Figure]:
    print(name, flush=True)
    seconds = BENCHMARKS[name].seconds if options.seconds is None else options.seconds
    figures: list[Figure] = []
    for figure in BENCHMARKS[name].measure(Plan(seconds=seconds, rows=options.rows)):
        print(report.line(figure), flush=True)
        figures.append(figure)
    return figures


def _keep(results: report.Results, seconds: float) -> None:
    print("\n" + report.table(results))
    path = report.save(results)
    drawn = charts.draw(results, report.RESULTS)
    pictures = f"{len(drawn)} charts beside it" if drawn else "no charts: matplotlib is not installed"
    print(f"\nIn {seconds / 60:.0f} minutes. {path}, {pictures}.")


if __name__ == "__main__":
    sys.exit(main())
