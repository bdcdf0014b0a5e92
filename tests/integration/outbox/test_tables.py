"""The tables in the application's own MetaData: one column list behind the factory and the mixin."""

from __future__ import annotations

from datetime import timezone
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Index, MetaData, String, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateIndex, CreateTable

from asyncflow import Inbox, Message, Outbox, Scheduler, Status, TaskMixin
from asyncflow.errors import OptionError, TablesMissingError
from asyncflow.outbox import inbox_table, shard_table, task_table
from asyncflow.testing import MemoryPublisher


def ddl_of(metadata: MetaData, engine: Engine) -> list[str]:
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    statements = [str(CreateTable(table).compile(engine)) for table in tables]
    indexes = [str(CreateIndex(index).compile(engine)) for table in tables for index in table.indexes]
    return [*statements, *sorted(indexes)]


def test_create_all_makes_tables_and_indexes(engine: Engine) -> None:
    metadata = MetaData()
    Outbox(metadata)
    Inbox(metadata)
    metadata.create_all(engine)
    inspector = inspect(engine)
    names = (
        "audit",
        "chart",
        "context",
        "dedupe",
        "inbox",
        "instance",
        "job",
        "parked_key",
        "periodic",
        "schedule_cfg",
        "shard",
        "task",
        "turn",
        "unique",
    )
    assert sorted(inspector.get_table_names()) == [f"asyncflow_{name}" for name in names]
    indexes = {index["name"]: index["column_names"] for index in inspector.get_indexes("asyncflow_task")}
    assert indexes == {
        "ix_asyncflow_task_head": ["status", "task_type", "shard", "order_time", "id"],
        "ix_asyncflow_task_key": ["task_key", "created_at"],
    }
    assert inspector.get_pk_constraint("asyncflow_task")["constrained_columns"] == ["id"]
    assert inspector.get_pk_constraint("asyncflow_inbox")["constrained_columns"] == ["consumer", "message_id"]


def test_create_all_twice_changes_nothing(engine: Engine) -> None:
    for _ in range(2):
        metadata = MetaData()
        Outbox(metadata)
        metadata.create_all(engine)


def test_the_mixin_and_the_factory_give_the_same_ddl(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class OutboxTask(TaskMixin, Base):
        pass

    by_factory = MetaData()
    task_table(by_factory)
    assert ddl_of(Base.metadata, engine) == ddl_of(by_factory, engine)


def test_the_order_of_mixin_and_outbox_does_not_matter(engine: Engine) -> None:
    class MixinFirst(DeclarativeBase):
        pass

    class OutboxFirst(DeclarativeBase):
        pass

    class Early(TaskMixin, MixinFirst):
        pass

    first, second = Outbox(MixinFirst.metadata), Outbox(OutboxFirst.metadata)

    class Late(TaskMixin, OutboxFirst):
        pass

    assert Early.__table__ is first.tasks
    assert Late.__table__ is second.tasks
    assert ddl_of(MixinFirst.metadata, engine) == ddl_of(OutboxFirst.metadata, engine)


@pytest.mark.parametrize("arguments", [{"schema": "shop"}, ({"schema": "shop"},)])
def test_the_mixin_takes_its_schema_from_the_table_arguments(arguments: object) -> None:
    class Base(DeclarativeBase):
        pass

    class OutboxTask(TaskMixin, Base):
        __tablename__ = "shop_task"
        __table_args__ = arguments

    assert OutboxTask.__table__ is Outbox(Base.metadata, prefix="shop_", schema="shop").tasks


def test_the_mixin_leaves_other_table_arguments_alone() -> None:
    class Base(DeclarativeBase):
        __table_args__: Any = {"mysql_engine": "InnoDB"}  # noqa: RUF012 - as SQLAlchemy declares it

    class OutboxTask(TaskMixin, Base):
        pass

    assert OutboxTask.__table__.fullname == "asyncflow_task"


def test_tasks_are_read_with_the_orm(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class OutboxTask(TaskMixin, Base):
        pass

    outbox = Outbox(Base.metadata)
    outbox.message("user.registered")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        task_id = outbox.publish(session, "user.registered", {"a": 1}, key="A1001", headers={"trace": "1"})
        outbox.publish_many(session, "user.registered", [Message(1), Message(2)])
        session.flush()
        task = session.get_one(OutboxTask, task_id)
        assert (task.id, task.task_type, task.task_key) == (task_id, "user.registered", "A1001")
        assert (task.payload, task.headers, task.schedule_log) == (b'{"a":1}', '{"trace":"1"}', None)
        assert (task.status, task.retry_count, task.max_retries) == (Status.PENDING, 0, 10)
        assert task.created_at.tzinfo is timezone.utc
        session.commit()
        assert len(session.scalars(select(OutboxTask).where(OutboxTask.status == Status.PENDING)).all()) == 3
        assert session.scalars(select(OutboxTask.id).where(OutboxTask.id == str(task_id))).all() == [task_id]
        assert session.scalars(select(OutboxTask.id).where(OutboxTask.id.in_([task_id.bytes]))).all() == [task_id]


def test_a_factory_called_twice_gives_the_same_table() -> None:
    metadata = MetaData()
    for factory in (task_table, shard_table, inbox_table):
        assert factory(metadata, schema="shop") is factory(metadata, schema="shop")
        assert factory(metadata, schema="shop") is not factory(metadata)


def test_an_id_takes_16_bytes(engine: Engine) -> None:
    column = str(CreateTable(task_table(MetaData())).compile(engine)).splitlines()[2].strip()
    kinds = {"mysql": "id BINARY(16) NOT NULL,", "postgresql": "id UUID NOT NULL,", "sqlite": "id BLOB NOT NULL,"}
    assert column == kinds[engine.dialect.name]


@pytest.mark.parametrize("outbox_first", [False, True])
def test_columns_of_the_applications_own_are_there_and_every_way_of_writing_leaves_them_to_it(
    engine: Engine, outbox_first: bool
) -> None:
    class Base(DeclarativeBase):
        pass

    outbox = Outbox(Base.metadata) if outbox_first else None

    class OutboxTask(TaskMixin, Base):
        __table_args__ = (Index("ix_tenant", "tenant"),)
        tenant: Mapped[str | None] = mapped_column(String(40))
        region = Column(String(10), nullable=False, server_default="eu")
        made_by: Mapped[str] = mapped_column(String(10), default=lambda: "python")

    outbox = outbox or Outbox(Base.metadata)
    outbox.message("sent")
    outbox.message("in.order", ordered=True)

    @outbox.task()
    def work(n: int) -> None: ...

    assert OutboxTask.__table__ is outbox.tasks
    Base.metadata.create_all(engine)
    assert "ix_tenant" in {index["name"] for index in inspect(engine).get_indexes("asyncflow_task")}
    with Session(engine) as session, session.begin():
        outbox.publish(session, "sent", {}, idempotency_key="k")
        outbox.publish(session, "sent", {})
        outbox.publish(session, "in.order", {}, key="k")
        outbox.publish_many(session, "sent", [Message(1), Message(2)])
        outbox.enqueue(session, work, n=1)
    with engine.begin() as connection:
        outbox.publish(connection, "sent", {}, delay_seconds=0)
        outbox.publish_many(connection, "in.order", [Message(1, key="k"), Message(2, key="k")])
    with Session(engine) as session, session.begin():
        tasks = list(session.scalars(select(OutboxTask)))
        found: list[Any] = [(task.tenant, task.region, task.made_by) for task in tasks]
        assert found == [(None, "eu", "python")] * 9
        for task in tasks:
            task.tenant = "acme"
    scheduler = Scheduler(engine, outbox, {"kafka": MemoryPublisher()}, success_retention_seconds=None)
    drained = scheduler.drain(raise_errors=True)
    assert (drained.sent, drained.done) == (8, 1)
    with Session(engine) as session:
        assert set(session.scalars(select(OutboxTask.tenant))) == {"acme"}
    missing = MetaData()
    Outbox(missing)
    missing.drop_all(engine)
    missing.create_all(engine)
    with pytest.raises(TablesMissingError, match=r"lacks .*made_by.*tenant"):
        Scheduler(engine, outbox, {"kafka": MemoryPublisher()}).start()


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        (Column("tenant", String(40), nullable=False), "would be empty"),
        (Column("tenant", String(40), primary_key=True), "would be empty"),
        (Column("status", String(40), nullable=True), "asyncflow's own"),
    ],
)
def test_a_column_that_our_rows_could_not_fill_is_refused(column: Column[Any], fault: str) -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(OptionError, match=fault):
        type("OutboxTask", (TaskMixin, Base), {column.name: column})
