"""Django on each of the three databases, without models: its connections are what the tests are about."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
import pymysql
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction
from sqlalchemy import URL, Engine, func, select, text

from asyncflow import TaskContext
from asyncflow.integrations.django import DjangoOutbox, current_transaction, engine_of
from asyncflow.testing import MemoryPublisher
from tests.support.databases import NAMES, fresh_database

_BACKENDS = {"sqlite": "sqlite3", "mariadb": "mysql", "postgresql": "postgresql"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 20},
    "mariadb": {"charset": "utf8mb4"},  # the default of Django 4.2 is another
    "postgresql": {},
}


@contextmanager
def pymysql_for_django() -> Iterator[None]:
    """Let PyMySQL be the module that Django imports, for the moment: others here look for MySQLdb and find none."""
    before = set(sys.modules)
    pymysql.install_as_MySQLdb()
    try:
        yield
    finally:
        for name in {"MySQLdb", "_mysql"} - before:
            sys.modules.pop(name, None)


def database_of(url: URL) -> dict[str, Any]:
    name = "sqlite" if url.get_backend_name() == "sqlite" else url.get_backend_name().replace("mysql", "mariadb")
    return {
        "ENGINE": f"django.db.backends.{_BACKENDS[name]}",
        "NAME": url.database,
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": url.host or "",
        "PORT": str(url.port or ""),
        "OPTIONS": _OPTIONS[name],
    }


@pytest.fixture(scope="session")
def django_is_set_up() -> None:
    if not settings.configured:
        settings.configure(
            INSTALLED_APPS=["asyncflow.integrations.django"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            USE_TZ=True,
        )
        django.setup()


@pytest.fixture(scope="package", params=NAMES)
def using(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_is_set_up: None
) -> Iterator[str]:
    """Give the alias of a migrated database."""
    alias = f"the {request.param}"
    with fresh_database(request.param, tmp_path_factory.mktemp("django")) as url, pymysql_for_django():
        both = {"default": connections.settings["default"], alias: database_of(url)}
        connections.settings[alias] = connections.configure_settings(both)[alias]
        call_command("migrate", database=alias, verbosity=0)
        with connections[alias].cursor() as cursor:
            cursor.execute("CREATE TABLE users (name VARCHAR(40) PRIMARY KEY)")
        yield alias
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


class Shop:
    """Have an outbox on one of Django's databases, and a table beside it."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.publisher = MemoryPublisher()
        self.outbox = DjangoOutbox({"kafka": self.publisher}, using=using)
        self.engine: Engine = engine_of(using)
        self.outbox.message("user.registered", ordered=True)
        self.faults: list[Exception] = []  # raised by the handler, one each time

        @self.outbox.task(transactional=True, retry_interval_seconds=0, max_retries=1)
        def greet(name: str) -> None:
            self.register(f"{name}'s friend")
            if self.faults:
                raise self.faults.pop()
            write_down.enqueue(self.here, name=name)

        @self.outbox.task()
        def write_down(ctx: TaskContext, name: str) -> None:
            self.register(f"{name}, attempt {ctx.attempt}")

        self.greet, self.write_down = greet, write_down

    @property
    def here(self) -> Any:
        return current_transaction(self.using)

    def atomic(self, **options: Any) -> Any:
        return transaction.atomic(using=self.using, **options)

    def register(self, name: str) -> None:
        with connections[self.using].cursor() as cursor:
            cursor.execute("INSERT INTO users VALUES (%s)", [name])

    def users(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.scalars(text("SELECT name FROM users ORDER BY name")))

    def tasks(self) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(self.outbox.tasks)) or 0

    def drain(self) -> Any:
        scheduler = self.outbox.scheduler()
        try:
            return scheduler.drain()
        finally:
            scheduler.stop()
            scheduler.engine.dispose()

    def close(self) -> None:
        with self.engine.begin() as connection:
            for name in ("users", "asyncflow_task", "asyncflow_dedupe", "asyncflow_parked_key"):
                connection.execute(text(f"DELETE FROM {name}"))
        self.engine.dispose()


@pytest.fixture
def shop(using: str, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(using)
    yield shop
    shop.close()
