"""A text is kept exactly or refused, whatever a connection's character set and the server's strictness."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, Engine, MetaData, create_engine, event, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from asyncflow import Call, Inbox, Outbox
from asyncflow.errors import CharacterSetError
from asyncflow.outbox import Message
from asyncflow.scheduler import DeadLetters
from tests.integration.outbox.watch import statements_of
from tests.support.application import Application
from tests.support.databases import fresh_database, open_engine, url_of

NAMES = ["a", "é", "я", "€", "漢", "😀", "é😀", "ﬁ"]
TEXTS = st.text(st.characters(min_codepoint=33, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda text: text == text.strip()
)
WAYS = ("core", "orm", "many", "dedupe", "inbox")

MYSQL = {
    "latin1": ({"charset": "latin1"}, ()),
    "cp1251": ({"charset": "cp1251"}, ()),
    "gbk": ({"charset": "gbk"}, ()),
    "utf8mb3": ({"charset": "utf8"}, ()),
    "utf8mb4": ({"charset": "utf8mb4"}, ()),
    "names later": ({"charset": "utf8mb4"}, ("SET NAMES latin1",)),
    "utf8mb3 later": ({"charset": "utf8mb4"}, ("SET NAMES utf8mb3",)),
    "results alone": ({"charset": "utf8mb4"}, ("SET character_set_results = latin1",)),
    "connection alone": ({"charset": "utf8mb4"}, ("SET collation_connection = latin1_swedish_ci",)),
    "another collation": ({"charset": "utf8mb4"}, ("SET collation_connection = utf8mb4_unicode_520_ci",)),
}


class Odd:
    """Have an application on a database, and an engine of its whose connections are set up in another way."""

    def __init__(self, application: Application, engine: Engine) -> None:
        self.application = application
        self.engine = engine

    def write(self, way: str, given: str) -> list[str]:
        """Write a text in one of the ways; return what then stands there, in the columns that held it."""
        outbox, inbox = self.application.outbox, self.application.inbox
        with Session(self.engine) as session, session.begin():
            if way == "inbox":
                assert inbox.process_once(session, given, consumer=given)
            elif way == "orm":
                outbox.publish(session, "user.registered", given, key=given, headers={"h": given})
            elif way == "core":
                outbox.publish(session.connection(), "user.registered", given, key=given, headers={"h": given})
            elif way == "many":
                outbox.publish_many(session, "user.registered", [Message(given, key=given), Message(given, key=given)])
            else:
                outbox.publish(session, "user.registered", given, idempotency_key=given)
        return self.texts()

    def texts(self) -> list[str]:
        outbox, inbox = self.application.outbox, self.application.inbox
        with self.application.engine.connect() as connection:
            tasks = connection.execute(select(outbox.tasks.c.task_key, outbox.tasks.c.headers)).all()
            keys = connection.execute(select(outbox.dedupe_entries.c.idempotency_key)).scalars().all()
            inboxed = connection.execute(select(inbox.entries.c.consumer, inbox.entries.c.message_id)).all()
        found = [key for key, _ in tasks if key is not None]
        found += [headers.removeprefix('{"h":"').removesuffix('"}') for _, headers in tasks if headers]
        return [*found, *keys, *(one for row in inboxed for one in row)]

    def empty(self) -> None:
        outbox, inbox = self.application.outbox, self.application.inbox
        with self.application.engine.begin() as connection:
            for table in (outbox.tasks, outbox.dedupe_entries, inbox.entries):
                connection.execute(table.delete())


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """Give an application on MariaDB."""
    with fresh_database("mariadb", tmp_path_factory.mktemp("mariadb")) as url:
        engine = open_engine(url)
        yield Application(engine)
        engine.dispose()


def odd_engine(url: URL, name: str, sql_mode: str) -> Engine:
    arguments, later = MYSQL[name]
    engine = create_engine(url.update_query_dict(arguments))

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            for command in (f"SET sql_mode = '{sql_mode}'", *later):
                cursor.execute(command)

    return engine


@pytest.fixture(scope="module", params=["", "STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES"], ids=["lax", "strict"])
def sql_mode(request: pytest.FixtureRequest) -> str:
    """Give an sql_mode."""
    return str(request.param)


@pytest.fixture(scope="module", params=MYSQL)
def odd(request: pytest.FixtureRequest, mariadb: Application, sql_mode: str) -> Iterator[Odd]:
    """Give an engine on MariaDB with connections of each character set."""
    engine = odd_engine(mariadb.engine.url, request.param, sql_mode)
    yield Odd(mariadb, engine)
    engine.dispose()


@pytest.mark.parametrize("way", WAYS)
def test_a_text_is_kept_exactly_or_refused(odd: Odd, way: str) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(given=TEXTS)
    @example("order-😀-1")
    @example("é")
    @example('it\'s \\ "a"')
    def law(given: str) -> None:
        odd.empty()
        found: list[str] = []
        try:
            found = odd.write(way, given)
        except CharacterSetError:
            assert (given.isascii(), odd.texts()) == (False, [])
            return
        if way != "orm" and way != "core":
            assert set(found) == {given}
        else:
            assert given in found

    law()


@pytest.mark.parametrize("way", ["dedupe", "inbox"])
def test_two_texts_are_never_taken_for_each_other(odd: Odd, way: str) -> None:
    odd.empty()
    kept = set()
    for name in NAMES:
        with suppress(CharacterSetError):
            odd.write(way, name)
            kept.add(name)
    assert set(odd.texts()) == kept
    assert "a" in kept


def test_ascii_costs_no_statement_and_other_texts_one_for_each_connection(mariadb: Application) -> None:
    odd = Odd(mariadb, create_engine(mariadb.engine.url))
    odd.empty()
    odd.write("core", "warm")
    with statements_of(odd.engine) as sent:
        odd.write("core", "ascii")
        assert len(sent) == 1
        odd.write("core", "漢")
        assert len(sent) == 3
        odd.write("core", "字")
        assert len(sent) == 4
    odd.engine.dispose()


def test_an_async_session_refuses_as_well(mariadb: Application) -> None:
    pytest.importorskip("asyncmy")
    url = mariadb.engine.url.set(drivername="mysql+asyncmy").update_query_dict({"charset": "latin1"})
    Odd(mariadb, mariadb.engine).empty()

    async def write(key: str) -> None:
        engine = create_async_engine(url)
        try:
            async with AsyncSession(engine) as session, session.begin():
                mariadb.outbox.publish(session, "user.registered", 1, key=key)
        finally:
            await engine.dispose()

    asyncio.run(write("é"))
    with pytest.raises(CharacterSetError, match="latin1"):
        asyncio.run(write("€😀"))
    assert Odd(mariadb, mariadb.engine).texts() == ["é"]


@pytest.mark.parametrize("name", [name for name in MYSQL if name not in ("utf8mb4", "another collation")])
def test_the_run_side_refuses_a_connection_that_does_not_carry_every_text(mariadb: Application, name: str) -> None:
    engine = odd_engine(mariadb.engine.url, name, "")
    scheduler = Application.scheduler(_on(mariadb, engine))
    for work in (scheduler.start, scheduler.drain, DeadLetters(engine, mariadb.outbox).list):
        with pytest.raises(CharacterSetError, match=r"charset=utf8mb4"):
            work()
    scheduler.stop()
    engine.dispose()


def _on(application: Application, engine: Engine) -> Any:
    class Elsewhere:
        outbox, signals = application.outbox, application.signals

    elsewhere: Any = Elsewhere()
    elsewhere.engine = engine
    return elsewhere


def test_a_table_of_another_character_set_is_refused_where_it_is_written_and_at_the_start(mariadb: Application) -> None:
    outbox = Outbox(MetaData(), prefix="odd_")
    outbox.task("work")
    inbox = Inbox(outbox.tasks.metadata, prefix="odd_")
    outbox.tasks.metadata.create_all(mariadb.engine)
    with mariadb.engine.begin() as connection:
        connection.execute(text("ALTER TABLE odd_dedupe CONVERT TO CHARACTER SET latin1"))
        connection.execute(text("ALTER TABLE odd_inbox CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"))
    engine = create_engine(mariadb.engine.url)
    with engine.begin() as connection:
        with pytest.raises(CharacterSetError, match=r"odd_dedupe.\w+ has the collation latin1"):
            outbox.enqueue_once(connection, "work", Call({}, idempotency_key="a"))
        with pytest.raises(CharacterSetError, match=r"odd_inbox.consumer has the collation utf8mb4_general_ci"):
            inbox.process_once(connection, "a", consumer="a")
    outbox.tasks.metadata.drop_all(mariadb.engine)
    engine.dispose()


@pytest.fixture(scope="module", params=["UTF8", "LATIN1", "SQL_ASCII", "WIN1251"])
def postgresql(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """Give an application on a PostgreSQL database of each encoding."""
    server = create_engine(url_of("postgresql", tmp_path_factory.mktemp("pg")), isolation_level="AUTOCOMMIT")
    name = f"asyncflow_{request.param.lower()}_{os.getpid()}"
    drop = text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    with server.connect() as connection:
        connection.execute(drop)
        connection.execute(
            text(f"CREATE DATABASE {name} ENCODING '{request.param}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        )
    engine = create_engine(server.url.set(database=name), connect_args={"client_encoding": "UTF8"})
    yield Application(engine)
    engine.dispose()
    with server.connect() as connection:
        connection.execute(drop)
    server.dispose()


@pytest.mark.parametrize("client", ["UTF8", "LATIN1", "WIN1251"])  # by SQL_ASCII SQLAlchemy cannot connect
@pytest.mark.parametrize("way", WAYS)
def test_postgresql_keeps_a_text_exactly_or_it_is_refused(postgresql: Application, client: str, way: str) -> None:
    if {client, str(postgresql.engine.url.database).split("_")[1].upper()} == {"LATIN1", "WIN1251"}:
        pytest.skip("the server has no conversion between them")
    arguments = {"client_encoding": client}
    odd = Odd(postgresql, create_engine(postgresql.engine.url, connect_args=arguments))
    try:
        for name in NAMES:
            odd.empty()
            try:
                found = odd.write(way, name)
            except CharacterSetError:
                assert (name.isascii(), odd.texts()) == (False, [])
            else:
                assert name in found
    finally:
        odd.engine.dispose()
