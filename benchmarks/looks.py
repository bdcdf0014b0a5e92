"""The looks that a person, a program or Prometheus takes at an outbox, each a fresh one."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from time import perf_counter
from urllib.parse import quote

from asyncflow import Status, cli
from asyncflow.integrations.dashboard.pages import pages
from asyncflow.integrations.prometheus import OutboxCollector
from benchmarks.browsers import Browser
from benchmarks.ground import TASK_TYPE, Ground
from benchmarks.skewed import MINOR, letter_of

_WEEK = 7 * 86400


@dataclass(frozen=True, eq=False)
class Look:
    """Name one look; ``act`` takes it, and raises if it was not answered."""

    kind: str  # page, verb or scrape
    name: str
    act: Callable[[], object]

    def take(self) -> float:
        """Take it; return how many milliseconds it took."""
        began = perf_counter()
        self.act()
        return (perf_counter() - began) * 1000


def looks_at(ground: Ground) -> list[Look]:
    """Return every page of the dashboard, every verb that only looks, and a scrape."""
    return [*_pages(ground), *_verbs(ground), _scrape(ground)]


def _pages(ground: Ground) -> Iterator[Look]:
    browser = Browser(ground)
    board = browser.fetch("letters")
    group = re.findall(r"letters/([0-9a-f]{12})", board)[0]
    values = {"fingerprint": group, "task_id": letter_of(ground, Status.FAILED)}
    for page in pages():
        path = page.place.path.format(**values)
        if path != "job":  # there is none
            yield Look("page", f"/{page.place.path}", partial(browser.fetch, path))
    day = quote((datetime.now(timezone.utc) - timedelta(days=1)).isoformat(timespec="minutes"))
    for name, path in {
        "a group of a week": f"letters/{group}?within={_WEEK}",
        "a task that waits": f"task/{letter_of(ground, Status.PENDING)}",
        "charts of three days": "charts?span=3d",
        "search of a type": f"search?type={TASK_TYPE}",
        "search of a status": "search?status=failed",
        "search of a type and a status": f"search?type={MINOR[3]}&status=cancelled",
        "search of a key": "search?key=account-7",
        "search of a key and a status": "search?key=account-7&status=processing",
        "search of a day": f"search?type={MINOR[3]}&status=cancelled&since={day}",
    }.items():
        yield Look("page", name, partial(browser.fetch, path))


def _verbs(ground: Ground) -> Iterator[Look]:
    dead, waits = letter_of(ground, Status.FAILED), letter_of(ground, Status.PENDING)
    of_type = ["--type", TASK_TYPE]
    for verb in (
        ["status"],
        ["doctor"],
        ["explain", str(waits)],
        ["top", "--once"],
        ["charts"],
        ["types"],
        ["tasks", "list"],
        ["tasks", "list", *of_type, "--status", "pending"],
        ["tasks", "list", "--key", "account-7"],
        ["tasks", "show", "--id", str(dead)],
        ["dead-letters", "list"],
        ["dead-letters", "list", *of_type],
        ["dead-letters", "groups"],
        ["dead-letters", "replay", *of_type],
        ["instances", "list"],
        ["shards"],
        ["jobs", "list"],
        ["periodic"],
        ["config", "list"],
        ["purge", "--older-than", "1d"],
        ["audit"],
    ):
        name = " ".join(word for word in verb if word not in (str(dead), str(waits)))
        yield Look("verb", name, partial(_run, ground, verb))


def _run(ground: Ground, verb: list[str]) -> None:
    url = ground.url.render_as_string(hide_password=False)
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        code = cli.main([*verb, "--database-url", url])
    if code == 1 and verb != ["doctor"]:
        raise RuntimeError(f"asyncflow {' '.join(verb)} failed: {told.getvalue()[-500:]}")


def _scrape(ground: Ground) -> Look:
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(OutboxCollector(ground.engine, ground.outbox, kept_seconds=0.0))

    def scrape() -> None:
        if b"asyncflow_look_failed 0.0" not in generate_latest(registry):
            raise RuntimeError("the look for the gauges failed; the log above has its traceback")

    return Look("scrape", "of the gauges", scrape)
