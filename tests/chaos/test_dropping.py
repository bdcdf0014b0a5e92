"""A large table of finished rows goes while others enqueue and a business transaction stays open: dropped, or by rows.

What it costs them is told beside the minute before, in which such a transaction is open, too.

``ASYNCFLOW_CHAOS_ROWS`` says how many rows it has.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from statistics import quantiles
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, MetaData, make_url, text

from asyncflow import Message, Outbox, RollOver, Scheduler
from asyncflow.events import Event, NumberedTableClosed, NumberedTableDropped, SettledRowsDeleted
from asyncflow.scheduler import SENT, Outcome, Record
from asyncflow.scheduler.upkeep.rolling import keeper
from tests.chaos.findings import Tell
from tests.chaos.private_server import private_server
from tests.support.databases import open_engine
from tests.unit.scheduler.waiting import eventually
from tools.services.mariadb import MariaDB
from tools.services.postgresql import PostgreSQL
from tools.services.service import Service

ROWS = int(os.environ.get("ASYNCFLOW_CHAOS_ROWS", "1000000"))
SECONDS = float(os.environ.get("ASYNCFLOW_CHAOS_SECONDS", "60"))
_SEED = 10_000
_FEW_PAGES = 200  # of 32,768 that may be changed and not written yet
_WRITERS = 4
_PAUSE_SECONDS = 0.03
_BESIDE_SECONDS = 3.0  # of the end of a drop
_IDS = {
    "mysql": "CONCAT(UNHEX(LPAD(HEX({number}), 12, '0')), SUBSTR(id, 7))",
    "postgresql": "(LPAD(TO_HEX({number}), 12, '0') || SUBSTR(REPLACE(id::text, '-', ''), 13))::uuid",
}
_INTO = {"drop": "asyncflow_task_1", "delete": "asyncflow_task"}
pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(1800)]


class Lags:
    """Be a publisher that knows when each message came, and how long that took from its writing."""

    def __init__(self) -> None:
        self.found: list[tuple[float, float]] = []

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        now = time.monotonic()
        self.found += [(now, now - orjson.loads(record.value or b"")["at"]) for record in batch]
        return [SENT] * len(batch)

    def close(self) -> None: ...


class Writers:
    """Enqueue one message after the other, in threads; know how long each transaction took, and what failed."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self.found: list[tuple[float, float]] = []
        self.errors: list[BaseException] = []
        self._engine, self._outbox = engine, outbox
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._write, daemon=True) for _ in range(_WRITERS)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(120)

    def _write(self) -> None:
        while not self._end.wait(_PAUSE_SECONDS):
            began = time.monotonic()
            try:
                with self._engine.begin() as connection:
                    self._outbox.publish(connection, "moved", {"at": began})
            except Exception as error:  # noqa: BLE001 - that there is none is what is to be shown
                self.errors.append(error)
            self.found.append((time.monotonic(), time.monotonic() - began))


class Windows:
    """Compare what was found in the minute before with what was found while the table goes."""

    def __init__(self, writers: Writers, lags: Lags) -> None:
        self._sides: dict[str, Writers | Lags] = {"enqueue": writers, "lag": lags}

    def figures(self, before: tuple[float, float], during: tuple[float, float]) -> dict[str, list[float]]:
        """Return of enqueue and lag the 99th percentile before and during, their ratio, and the longest during."""
        figures = {}
        for name, side in self._sides.items():
            old, new = ([took for at, took in list(side.found) if a <= at <= b] for a, b in (before, during))
            figures[name] = [p99(old), p99(new), p99(new) / p99(old), max(new)]
        return figures

    def noise(self, before: tuple[float, float]) -> float:
        """Return by how much the 99th percentile of the enqueue differs between the two halves of the time before."""
        middle = sum(before) / 2
        took = [[one for at, one in self._sides["enqueue"].found if a <= at <= b] for a, b in halves(before, middle)]
        first, second = sorted(map(p99, took))
        return second / first

    def beside(self, moments: Sequence[float]) -> float:
        """Return the longest enqueue of those that ended within some seconds of one of the moments."""
        found = list(self._sides["enqueue"].found)
        return max(
            (took for at, took in found for moment in moments if abs(at - moment) <= _BESIDE_SECONDS), default=0.0
        )


def halves(window: tuple[float, float], middle: float) -> Sequence[tuple[float, float]]:
    return (window[0], middle), (middle, window[1])


def p99(found: Sequence[float]) -> float:
    return quantiles(found, n=100)[98]


def sow(engine: Engine, outbox: Outbox) -> None:
    """Put a few rows aside, while nobody relays them."""
    with engine.begin() as connection:
        outbox.publish_many(connection, "moved", [Message({"pad": "x" * 300})] * _SEED)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE seed AS SELECT * FROM asyncflow_task"))
        connection.execute(text("DELETE FROM asyncflow_task"))


def fill(engine: Engine, outbox: Outbox, how: str) -> None:
    """Let there be so many rows that are done, copied by the database from those few."""
    columns = {column.name: column.name for column in outbox.tasks.columns} | {"status": "2"}
    for number in range(ROWS // _SEED):
        columns["id"] = _IDS[engine.dialect.name].format(number=number + 1)
        names, values = ", ".join(columns), ", ".join(columns.values())
        with engine.begin() as connection:
            connection.execute(text(f"INSERT INTO {_INTO[how]} ({names}) SELECT {values} FROM seed"))


def let_rest(engine: Engine, table: str) -> None:
    """Let the server write what it was filled with, and count it: it would do so in one of the two minutes."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"VACUUM ANALYZE {table}"))
            connection.execute(text("CHECKPOINT"))
            return
        usual = connection.execute(text("SELECT @@GLOBAL.innodb_max_dirty_pages_pct")).scalar_one()
        connection.execute(text("SET GLOBAL innodb_max_dirty_pages_pct = 0"))
        dirty = text("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")
        eventually(lambda: int(connection.execute(dirty).one()[1]) < _FEW_PAGES, 300)
        connection.execute(text(f"SET GLOBAL innodb_max_dirty_pages_pct = {usual}"))


@contextmanager
def open_for_long(engine: Engine, outbox: Outbox) -> Iterator[None]:
    """Have a business transaction open, with a message in it."""
    with engine.begin() as connection:
        outbox.publish(connection, "moved", {"at": time.monotonic()})
        yield


@pytest.mark.parametrize("how", ["drop", "delete"])
@pytest.mark.parametrize("service", [MariaDB(), PostgreSQL()], ids=lambda service: service.name)
def test_a_large_table_goes_and_enqueues_take_as_long_as_before(
    service: Service, how: str, finding: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "GRACE_SECONDS", 20.0)
    with private_server(service) as server:
        engine = open_engine(make_url(server.url), max_overflow=30)
        rolls = RollOver(rows=ROWS, after=timedelta(0), keep=timedelta(0)) if how == "drop" else None
        outbox = Outbox(MetaData(), roll_over=rolls)
        outbox.message("moved")
        outbox.tasks.metadata.create_all(engine)
        sow(engine, outbox)
        lags, heard, dropped_at = Lags(), list[Event](), list[float]()

        def hear(event: Event) -> None:
            heard.append(event)
            if isinstance(event, NumberedTableDropped):
                dropped_at.append(time.monotonic())

        options: dict[str, Any] = {"hooks": [hear], "cleaning_interval_seconds": 1.0}
        first = Scheduler(engine, outbox, {"kafka": lags}, **options, **({} if rolls else _KEEPING))
        first.start()
        eventually(lambda: how == "delete" or is_table_there(engine), 120)
        fill(engine, outbox, how)
        let_rest(engine, _INTO[how])
        with Writers(engine, outbox) as writers:
            time.sleep(10)
            with open_for_long(engine, outbox):  # which costs the others something by itself, and so before as well
                before = window(SECONDS)
            if how == "delete":
                first.stop(60)
                first = Scheduler(engine, outbox, {"kafka": lags}, **options, success_retention_seconds=1.0)
                first.start()
                time.sleep(5)
            with open_for_long(engine, outbox):
                heard.clear()
                if how == "drop":
                    be_full(engine)
                during = window(SECONDS)
            eventually(lambda: how == "delete" or bool(of(heard, NumberedTableDropped)), 300)
            during = (during[0], max(during[1], time.monotonic()))
        first.stop(60)
        engine.dispose()
    windows = Windows(writers, lags)
    name = f"{service.name}, {how}"
    finding(f"  {name}: p99 of the enqueue in the halves of the minute before: {windows.noise(before):.2f} times")
    if how == "drop":
        finding(f"  {name}: the longest enqueue beside the drop {windows.beside(dropped_at) * 1000:.0f} ms")
    judge(name, windows.figures(before, during), heard, finding)
    assert writers.errors == []


_KEEPING: dict[str, Any] = {"success_retention_seconds": None}


def judge(name: str, figures: dict[str, list[float]], heard: list[Event], finding: Tell) -> None:
    gone = sum(event.rows for event in of(heard, SettledRowsDeleted))
    tables = (
        [event.table for event in of(heard, NumberedTableClosed)],
        [(event.table, event.rows) for event in of(heard, NumberedTableDropped)],
    )
    finding(f"  {name}, {ROWS} rows: closed and dropped {tables}, {gone} deleted by rows")
    for what, (before, during, ratio, longest) in figures.items():
        text_ = f"p99 {before * 1000:.1f} ms before, {during * 1000:.1f} ms during: {ratio:.2f} times"
        finding(f"  {name}: {what} {text_}; the longest {longest * 1000:.0f} ms")
    if "drop" in name:
        assert any(table == "asyncflow_task_1" and rows >= ROWS for table, rows in tables[1])
        assert figures["enqueue"][2] < 1.5  # the machine is not ours alone: what it comes to is told


def of(heard: Sequence[Event], kind: type[Any]) -> list[Any]:
    return [event for event in heard if isinstance(event, kind)]


def window(seconds: float) -> tuple[float, float]:
    """Let so much time go by; return its begin and its end."""
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def is_table_there(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.execute(text("SELECT COUNT(*) FROM asyncflow_schedule_pos")).scalar())


def be_full(engine: Engine) -> None:
    """Let the first table be full, which its position tells."""
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE asyncflow_schedule_pos SET row_count = {ROWS} WHERE number = 1"))
