"""An application in many databases, with a load of messages of which each tells when it was committed."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import orjson
from sqlalchemy import URL, Engine, MetaData, NullPool, create_engine, event, make_url

from asyncflow import Message, Outbox
from asyncflow.scheduler import SENT, Outcome, Record
from tests.chaos.private_server import private_server
from tests.support.databases import open_engine
from tests.support.proxy import Proxy, proxy_to
from tools.services.service import Service


class Shops:
    """Have one outbox in many databases: ``engines`` of the writers, ``through`` of the scheduler, by proxies."""

    def __init__(self, urls: Sequence[URL], until: ExitStack) -> None:
        self.metadata = MetaData()
        self.outbox = Outbox(self.metadata)
        self.outbox.message("moved")
        self.written: Counter[str] = Counter()
        self.engines: dict[str, Engine] = {}
        self.through: dict[str, Engine] = {}
        self.proxies: dict[str, Proxy] = {}
        for number, url in enumerate(urls):
            name = f"db{number}"
            self.proxies[name], behind = until.enter_context(proxy_to(url))
            self.engines[name], self.through[name] = open_engine(url, pool_size=1), open_engine(behind, max_overflow=30)
            until.callback(self.engines[name].dispose)
            until.callback(self.through[name].dispose)
            self.metadata.create_all(self.engines[name])

    def publish(self, name: str, count: int) -> None:
        """Commit so many messages in one transaction."""
        now = time.monotonic()
        with self.engines[name].begin() as connection:
            self.outbox.publish_many(connection, "moved", [Message({"of": name, "at": now})] * count)
        self.written[name] += count  # by the one thread that writes there


class Arrivals:
    """Be a publisher that knows how long each message took from its writing; one thread calls it at a time."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        now = time.monotonic()
        for record in batch:
            told = orjson.loads(record.value or b"")
            self.seconds[told["of"]].append(now - told["at"])
        return [SENT] * len(batch)

    def close(self) -> None: ...


@contextmanager
def shops_on(service: Service, count: int, options: Sequence[str] = ()) -> Iterator[Shops]:
    """Give so many of them on a server of their own, which may be asked for many connections."""
    with private_server(service, options=options) as server, ExitStack() as until:
        url = make_url(server.url)
        names = [f"shop_{number}" for number in range(count)]
        admin = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with admin.connect() as connection:
            for name in names:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield Shops([url.set(database=name) for name in names], until)


@contextmanager
def steady_load(shops: Shops, names: Sequence[str], per_second: float) -> Iterator[None]:
    """Write a message in each of the databases, so often, until the end."""
    is_over = threading.Event()

    def write(name: str) -> None:
        while not is_over.wait(1 / per_second):
            shops.publish(name, 1)

    threads = [threading.Thread(target=write, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join(60)


class Statements:
    """Count the statements that engines send."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self.count = 0
        for engine in engines.values():
            event.listen(engine, "before_cursor_execute", self._count)

    def _count(self, *_: object) -> None:
        self.count += 1
