"""The database's clock is set back and forth while keys of an ordered type are written and relayed."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, func, insert, select, update

from asyncflow import Message, Outbox, Scheduler, Status
from asyncflow.scheduler import SENT, Outcome, Record, Retry
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long
from tests.chaos.private_server import PrivateServer, private_server
from tests.support.faketime import faketime_library
from tools.services.mariadb import MariaDB
from tools.services.postgresql import PostgreSQL
from tools.services.process import wait_until

STEPS = (-20, -5, 0, 5, 20)
KEYS = [f"account-{number}" for number in range(6)]
WRITERS = 4
_DRAINED_WITHIN_SECONDS = 120.0


@pytest.fixture(params=[MariaDB(), PostgreSQL()], ids=lambda service: service.name)
def server_and_clock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[PrivateServer, Path]]:
    """Give a server, and the file from which it reads how far its clock is off."""
    offset = Path(f"/tmp/{tmp_path.name}-order-clock")  # where the server's account may read
    offset.write_text("+0\n")
    environment = {
        "LD_PRELOAD": str(faketime_library()),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with private_server(request.param, environment) as server:
        yield server, offset
    offset.unlink()


class Bank:
    """Number the movements of each account under a lock on its row, and publish them in that transaction."""

    def __init__(self, engine: Engine) -> None:
        metadata = MetaData()
        self.engine = engine
        self.outbox = Outbox(metadata)
        self.outbox.message("moved", ordered=True, retry_interval_seconds=0.05, max_retry_interval_seconds=0.2)
        self.accounts = Table(
            "accounts", metadata, Column("name", String(40), primary_key=True), Column("movements", Integer)
        )
        self.is_open = True
        self._threads: list[threading.Thread] = []
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(insert(self.accounts), [{"name": name, "movements": 0} for name in KEYS])

    def open(self) -> None:
        self._threads = [threading.Thread(target=self._move, args=(number,)) for number in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self.is_open = False
        for thread in self._threads:
            thread.join()

    def _move(self, seed: int) -> None:
        luck = random.Random(seed)
        while self.is_open:
            name, count = luck.choice(KEYS[:2] * 4 + KEYS), luck.choice((1, 1, 3))
            account = self.accounts.c.name == name
            with self.engine.begin() as connection:
                locked = select(self.accounts.c.movements).where(account).with_for_update()
                first = connection.execute(locked).scalar_one()
                messages = [Message(str(first + place).encode(), key=name) for place in range(count)]
                self.outbox.publish_many(connection, "moved", messages)
                connection.execute(update(self.accounts).where(account).values(movements=first + count))

    def movements(self) -> dict[str, int]:
        with self.engine.connect() as connection:
            return {name: count for name, count in connection.execute(select(self.accounts)) if count}

    def waiting(self) -> int:
        tasks = self.outbox.tasks
        with self.engine.connect() as connection:
            waiting = select(func.count()).where(tasks.c.status != int(Status.SUCCESS)).select_from(tasks)
            return int(connection.execute(waiting).scalar_one())


class Broker:
    """Keep the first deliveries of each key, in order, and refuse a few of them once."""

    def __init__(self) -> None:
        self.first: dict[str, list[int]] = defaultdict(list)
        self._seen: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._luck = random.Random(7)

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        with self._lock:
            return [self._take((record.key or b"").decode(), int(record.value)) for record in batch]

    def _take(self, key: str, number: int) -> Outcome:
        if self._luck.random() < 0.01:
            return Retry("not now")
        if (key, number) not in self._seen:
            self._seen.add((key, number))
            self.first[key].append(number)
        return SENT

    def close(self) -> None: ...


@in_short_and_long
def test_the_order_of_each_key_holds_while_the_clock_steps(
    form: str, server_and_clock: tuple[PrivateServer, Path], finding: Tell
) -> None:
    server, offset = server_and_clock
    bank = Bank(create_engine(server.url, max_overflow=30))
    brokers = Broker()
    schedulers = [Scheduler(bank.engine, bank.outbox, {"kafka": brokers}) for _ in range(2)]
    for scheduler in schedulers:
        scheduler.start()
    try:
        bank.open()
        steps = step_clock(offset, 120.0 if form == "long" else 8.0)
        bank.close()
        offset.write_text("-20\n")  # behind the latest turns: nothing waits for the clock
        is_drained = wait_until(lambda: bank.waiting() == 0, _DRAINED_WITHIN_SECONDS)
    finally:
        bank.close()
        for scheduler in schedulers:
            scheduler.stop()
    written = bank.movements()
    disorder = sum(later < earlier for one in brokers.first.values() for earlier, later in itertools.pairwise(one))
    finding(f"{sum(written.values())} messages of {len(written)} keys, {steps} steps: {disorder} out of order")
    assert is_drained, f"{bank.waiting()} are stuck"
    assert disorder == 0
    assert {key: sorted(numbers) for key, numbers in brokers.first.items()} == {
        key: list(range(count)) for key, count in written.items()
    }
    bank.engine.dispose()


def step_clock(offset: Path, seconds: float) -> int:
    """Set the clock to another of the steps again and again; return how often."""
    luck = random.Random(1)
    steps, ends_at, pause = 0, time.monotonic() + seconds, threading.Event()
    while time.monotonic() < ends_at:
        offset.write_text(f"{luck.choice(STEPS):+d}\n")
        steps += 1
        pause.wait(luck.uniform(0.3, 1.5))
    return steps
