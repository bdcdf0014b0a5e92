"""Sessions that choose their engine, metadata with names and schemas of its own, several outboxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, Update, event, func, inspect, select, text
from sqlalchemy.orm import DeclarativeBase, Session

from asyncflow import Inbox, Message, Outbox
from asyncflow.errors import WrongTargetError
from tests.support.databases import open_engine


def declared(metadata: MetaData, **options: Any) -> Outbox:
    outbox = Outbox(metadata, **options)
    outbox.message("user.registered")
    return outbox


def count(engine: Engine, outbox: Outbox) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(outbox.tasks)).scalar_one()


def publish_three(session: Session, outbox: Outbox) -> None:
    outbox.publish(session, "user.registered", 1)
    outbox.publish_many(session, "user.registered", [Message(2), Message(3)])


def test_a_session_with_binds_takes_the_outbox_s_table_as_one_of_them(engine: Engine) -> None:
    metadata = MetaData()
    outbox, inbox = declared(metadata), Inbox(metadata)
    metadata.create_all(engine)
    with Session(binds={outbox.tasks: engine, inbox.entries: engine}) as session:
        publish_three(session, outbox)
        assert inbox.process_once(session, "m1", consumer="points")
        session.commit()
    assert count(engine, outbox) == 3


def test_a_session_without_a_bind_for_the_table_is_refused_with_the_remedy(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    outbox, inbox = declared(Base.metadata), Inbox(Base.metadata)
    with Session(binds={DeclarativeBase: engine}) as session:
        for publish in (outbox.publish, outbox.publish_many):
            with pytest.raises(WrongTargetError, match=r"no bind for the table asyncflow_task; .*binds=\{"):
                publish(session, "user.registered", [Message(1)])
        with pytest.raises(WrongTargetError, match="no bind for the table asyncflow_inbox"):
            inbox.process_once(session, "m1", consumer="points")
        assert not session.new


def test_a_session_that_routes_writes_to_a_leader_writes_tasks_there(engine: Engine) -> None:
    outbox = declared(metadata := MetaData())
    metadata.create_all(engine)

    class RoutingSession(Session):
        """Follow the recipe of SQLAlchemy's manual."""

        def get_bind(self, mapper: Any = None, clause: Any = None, **_: Any) -> Any:
            is_write = self._flushing or getattr(clause, "is_dml", False) or isinstance(clause, Update)
            assert mapper is None or mapper.class_
            return engine if is_write else follower

    follower = open_engine(engine.url)
    with RoutingSession() as session:
        publish_three(session, outbox)
        session.commit()
    assert follower.pool.checkedin() == 0  # type: ignore[attr-defined]
    assert count(engine, outbox) == 3


def test_outboxes_of_one_metadata_keep_to_their_own_tables(engine: Engine) -> None:
    metadata = MetaData()
    shop, bank = declared(metadata, prefix="shop_"), declared(metadata, prefix="bank_")
    metadata.create_all(engine)
    with Session(engine) as session:
        publish_three(session, shop)
        bank.publish(session, "user.registered", 1)
        session.commit()
    assert (count(engine, shop), count(engine, bank)) == (3, 1)


def test_outboxes_of_one_table_share_it(engine: Engine) -> None:
    metadata = MetaData()
    first, second = declared(metadata), declared(metadata)
    metadata.create_all(engine)
    assert first.tasks is second.tasks
    with Session(engine) as session:
        first.publish(session, "user.registered", 1)
        second.publish(session, "user.registered", 2)
        session.commit()
    assert count(engine, first) == 2


CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def test_a_naming_convention_is_respected(engine: Engine) -> None:
    metadata = MetaData(naming_convention=CONVENTION)
    outbox = declared(metadata)
    metadata.create_all(engine)
    with Session(engine) as session:
        publish_three(session, outbox)
        session.commit()
    assert count(engine, outbox) == 3
    assert outbox.tasks.primary_key.name == "pk_asyncflow_task"
    if engine.dialect.name == "postgresql":
        assert inspect(engine).get_pk_constraint("asyncflow_task")["name"] == "pk_asyncflow_task"


@pytest.fixture
def schema(engine: Engine, tmp_path: Any) -> Iterator[str]:
    """Give the name of an empty schema; to MariaDB that is a database, to SQLite a second file."""
    name = f"{engine.url.database}_shop" if engine.dialect.name == "mysql" else "shop"
    if engine.dialect.name == "sqlite":
        attach = f"ATTACH DATABASE '{tmp_path / 'shop.db'}' AS {name}"
        event.listen(engine, "connect", lambda connection, _: connection.execute(attach))
        engine.dispose()
        yield name
        return
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    yield name
    with engine.begin() as connection:
        cascade = " CASCADE" if engine.dialect.name == "postgresql" else ""
        connection.execute(text(f"DROP SCHEMA {name}{cascade}"))


Making = Callable[[str], tuple[MetaData, dict[str, Any]]]


@pytest.mark.parametrize(
    "making",
    [
        pytest.param(lambda schema: (MetaData(), {"schema": schema}), id="of the outbox"),
        pytest.param(lambda schema: (MetaData(schema=schema), {}), id="of the metadata"),
    ],
)
def test_tables_in_a_schema_serve_every_statement(engine: Engine, schema: str, making: Making) -> None:
    from asyncflow.testing import MemoryPublisher
    from tests.support.databases import drop_everything

    metadata, options = making(schema)
    outbox, inbox = declared(metadata, **options), Inbox(metadata, **options)
    metadata.create_all(engine)
    assert set(inspect(engine).get_table_names(schema=schema)) == {
        "asyncflow_audit",
        "asyncflow_chart",
        "asyncflow_context",
        "asyncflow_dedupe",
        "asyncflow_inbox",
        "asyncflow_instance",
        "asyncflow_job",
        "asyncflow_parked_key",
        "asyncflow_periodic",
        "asyncflow_schedule_cfg",
        "asyncflow_shard",
        "asyncflow_task",
        "asyncflow_turn",
        "asyncflow_unique",
    }
    with Session(engine) as session:
        publish_three(session, outbox)
        assert inbox.process_once(session, "m1", consumer="points")
        assert not inbox.process_once(session, "m1", consumer="points")
        session.commit()
    assert count(engine, outbox) == 3

    from asyncflow import Scheduler

    publisher = MemoryPublisher()
    scheduler = Scheduler(engine, outbox, {"kafka": publisher})
    scheduler.drain()
    scheduler.stop()
    assert sorted(record.value for record in publisher.records) == [b"1", b"2", b"3"]
    metadata.drop_all(engine)
    drop_everything(engine)
