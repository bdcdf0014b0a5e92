"""Years in one run: two hundred tables roll over under load while writers, schedulers and the database are killed.

``ASYNCFLOW_CHAOS_TASKS`` says how many tasks go through them; a table has a two hundredth of that in rows.
"""

from __future__ import annotations

import os
import random
import re
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, inspect

from tests.chaos.findings import Tell
from tests.chaos.growing_process import TOGETHER, Ledger
from tests.chaos.plan import Plan
from tests.chaos.private_server import PrivateServer, private_server
from tests.chaos.process import ProcessUnderTest
from tools.services.mariadb import MariaDB
from tools.services.process import wait_until

TASKS = int(os.environ.get("ASYNCFLOW_CHAOS_TASKS", "400000"))
TABLES = 200
_PROCESS = "tests.chaos.growing_process"
_TENTH = ("writer", "scheduler", "database", "scheduler", "writer")  # killed in each tenth of the run, in any order
_MISSING = ("1146", "doesn't exist")
_MOST_LEFT = 8  # open, ahead, and those that are closed or forgotten and not dropped yet
_BYTES = 4  # of a number in a book
_BATCH = max(500, min(2000, TASKS // TABLES // 10))  # rows that move at once
_CLOSING_SECONDS = 0.5  # from when a table is full, kills of who closes it among them
_NUMBERED = re.compile(r"asyncflow_task_\d+")
pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(6000)]


class Growth:
    """Run two writers and two schedulers on a server of their own, kill any of them, and look at what they did."""

    def __init__(self, server: PrivateServer, books: Path, until: ExitStack) -> None:
        self._server = server
        self._books = books
        self._until = until
        self._plan = Plan(database_url=server.url, bootstrap="", topic="", client="", on_mock=True)
        self.ledger = Ledger(create_engine(server.url, poolclass=NullPool), TASKS // TABLES)
        self.ledger.metadata.create_all(self.ledger.engine)
        self.all: list[ProcessUnderTest] = []
        self.at_work: dict[str, list[ProcessUnderTest]] = {
            what: [self._start(what) for _ in range(2)] for what in ("scheduler", "writer")
        }

    def _start(self, what: str) -> ProcessUnderTest:
        book = [str(self._books / f"{len(self.all)}")] if what == "scheduler" else []
        arguments = ["schedule" if what == "scheduler" else "write", str(TASKS // TABLES), *book]
        self.all.append(self._until.enter_context(ProcessUnderTest((_PROCESS, *arguments), self._plan)))
        return self.all[-1]

    def kill(self, what: str) -> None:
        """Kill one of them by SIGKILL, and start it again at once."""
        if what == "database":
            self._server.kill()
            self._server.start()
            return
        self.at_work[what].pop(0).kill()
        self.at_work[what].append(self._start(what))

    def delivered(self) -> int:
        """Return how many messages were delivered, one that came twice as two."""
        return sum(book.stat().st_size for book in self._books.iterdir()) // _BYTES

    def numbers(self) -> Iterator[int]:
        """Give the numbers of what was delivered."""
        for book in self._books.iterdir():
            numbers = array("I")
            numbers.frombytes(book.read_bytes())
            yield from numbers

    def disk(self) -> Counter[str]:
        """Return the bytes on the server's disk, by its files; the numbered tables are one."""
        found: Counter[str] = Counter()
        for name, size in self._server.bytes_on_disk().items():
            found[re.sub(r"\d+(?=\.\w+$)", "N", name)] += size
        return found

    def told(self, kind: str) -> list[dict[str, object]]:
        """Return what all of them told of one kind."""
        return [event for process in self.all for event in process.of(kind)]

    def end(self) -> None:
        """Let the writers finish, then the schedulers, once all is delivered and has rolled over."""
        for writer in self.at_work["writer"]:
            assert writer.dismiss() == 0
        assert wait_until(lambda: self._is_empty() and len(self._numbers()) <= _MOST_LEFT, 600.0)
        for scheduler in self.at_work["scheduler"]:
            assert scheduler.dismiss() == 0

    def _is_empty(self) -> bool:
        with self.ledger.engine.connect() as connection:
            return connection.execute(self.ledger.outbox.tasks.select().limit(1)).first() is None

    def dropped(self) -> int:
        """Return how many tables have come and gone: who is killed tells of no drop, so it is by their numbers."""
        numbers = self._numbers()
        return max(numbers) - len(numbers)

    def _numbers(self) -> list[int]:
        """Return the numbers of the tables that are there."""
        names = inspect(self.ledger.engine).get_table_names()
        return [int(name.rpartition("_")[2]) for name in names if _NUMBERED.fullmatch(name)]


def tenth(growth: Growth, until: int, disks: list[Counter[str]]) -> float:
    """Let deliveries come up to ``until`` while everything is killed in its turn; return the deliveries a second."""
    since, began = growth.delivered(), time.monotonic()
    kills = random.sample(_TENTH, len(_TENTH))
    steps = [since + (until - since) * (number + 1) // (len(kills) + 1) for number in range(len(kills))]
    for at, what in [*zip(steps, kills, strict=True), (until, None)]:
        deadline = time.monotonic() + 600
        while growth.delivered() < at:
            assert time.monotonic() < deadline, f"it stands at {growth.delivered()} of {at}"
            disks.append(growth.disk())
            time.sleep(0.2)
        if what is not None:
            growth.kill(what)
    return (until - since) / (time.monotonic() - began)


def test_two_hundred_tables_of_tasks_come_and_go_and_the_last_are_as_fast_as_the_first(
    tmp_path: Path, finding: Tell
) -> None:
    with private_server(MariaDB()) as server, ExitStack() as until:
        growth = Growth(server, tmp_path, until)
        disks: list[list[Counter[str]]] = [[] for _ in range(10)]
        tenth(growth, TASKS // 10, [])  # until all have warmed up
        speeds = [tenth(growth, TASKS // 10 * (number + 2), disks[number]) for number in range(10)]
        growth.end()
        judge(growth, speeds, disks, finding)


def judge(growth: Growth, speeds: Sequence[float], disks: Sequence[Sequence[Counter[str]]], finding: Tell) -> None:
    """Compare what was delivered with what was committed, and the end with the beginning."""
    entries, delivered = growth.ledger.numbers(), bytearray((max(growth.ledger.numbers()) + 1) * TOGETHER)
    foreign = 0
    for number in growth.numbers():
        if number // TOGETHER in entries:
            delivered[number] = 1
        else:
            foreign += 1
    lost = len(entries) * TOGETHER - sum(delivered)
    twice = growth.delivered() - foreign - sum(delivered)
    peaks = [max(disk.total() for disk in one) / 2**20 for one in disks]
    dropped, failed = growth.dropped(), [str(one["error"]) for one in growth.told("step failed")]
    missing = [error for error in failed if any(sign in error for sign in _MISSING)]
    away = sum(int(str(one.get("away", 0))) for one in growth.told("wrote"))
    finding(f"  {len(entries) * TOGETHER} messages, tables of {TASKS // TABLES} rows; {dropped} dropped")
    finding(f"  {lost} lost, {foreign} that no transaction committed, {twice} a second time")
    finding(f"  {len(missing)} from dropped tables, {len(growth.told('broke'))} errors at writers, {away} kills met")
    finding(f"  deliveries/s by tenths {[round(one) for one in speeds]}: last/first {speeds[-1] / speeds[0]:.2f}")
    finding(f"  most MB on disk by tenths {[round(one) for one in peaks]}; {len(growth.told('held up'))} held up")
    first, last = (max(one, key=Counter.total) for one in (disks[0], disks[-1]))
    grown = {name: f"{last[name] / 2**20:.0f} {(last[name] - first[name]) / 2**20:+.0f}" for name in first | last}
    most = sorted(grown, key=lambda name: first[name] - last[name])[:6]
    finding(f"  of that, MB and what it grew by: { {name: grown[name] for name in most} }")
    assert (lost, foreign, missing, growth.told("broke")) == (0, 0, [], [])
    # A batch goes into one table as a whole, and so does what comes until somebody closes it: small ones feel both.
    beyond = _BATCH + max(speeds) * _CLOSING_SECONDS
    assert dropped >= len(entries) * TOGETHER / (TASKS // TABLES + beyond) - _MOST_LEFT
    # What the server keeps for itself, such as its undo, it gives back to no disk: that is told, and not ours.
    ours = [
        max(sum(size for name, size in disk.items() if name.startswith("asyncflow_")) for disk in one) for one in disks
    ]
    finding(f"  most MB of asyncflow's tables by tenths {[round(one / 2**20) for one in ours]}")
    assert max(ours[5:]) < 1.5 * max(ours[:5])  # how many tables wait for their drop is by the kills
    assert speeds[-1] > 0.8 * speeds[0]  # the machine is not ours alone: what it comes to is told
