"""The README's code runs as it is printed."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from sqlalchemy import String, create_engine, delete, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from asyncflow import Inbox, Outbox, Scheduler
from asyncflow.consuming.effects import Effects
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.kafka.consuming.received import Partition, Received
from asyncflow.scheduler import Record
from asyncflow.testing import MemoryPublisher
from tests.support.snippets import errors, snippets
from tools.services import load


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Run in an empty directory, with the address of the test's Kafka in place of the one printed."""
    monkeypatch.chdir(tmp_path)
    kafka = load().kafka_bootstrap
    assert kafka is not None, "no Kafka: `make services` brings one up"
    from asyncflow.integrations import kafka as integration

    original = integration.KafkaPublisher
    options: dict[str, Any] = {} if load().kafka_is_real else {"client_options": {"api_version": (2, 3)}}
    patient = integration.KafkaSettings(delivery_timeout_seconds=60)
    monkeypatch.setattr(integration, "KafkaPublisher", lambda _: original(kafka, patient, **options))
    return {"__name__": "__main__"}


def test_the_program_delivers_its_message(namespace: dict[str, Any]) -> None:
    _, _, program, _, _ = snippets("README.md")
    exec(program, namespace)
    tasks = namespace["outbox"].tasks
    with namespace["engine"].connect() as connection:
        (task,) = connection.execute(select(tasks)).all()
    assert (task.task_type, task.task_key, task.status) == ("user.registered", "A1001", 2)
    assert json.loads(task.payload) == {"account_no": "A1001"}
    namespace["scheduler"].stop()


class _Base(DeclarativeBase):
    pass


class _User(_Base):
    __tablename__ = "users"
    account_no: Mapped[str] = mapped_column(String(20), primary_key=True)


class _Coupon(_Base):
    __tablename__ = "coupons"
    account_no: Mapped[str] = mapped_column(primary_key=True)


class _CrashedProducer:
    def send(self, *_: object) -> None:
        raise ConnectionResetError("the process died here")


def test_the_broken_lines_lose_the_message_and_the_mended_ones_keep_it() -> None:
    broken, mended, *_ = snippets("README.md")
    engine = create_engine("sqlite://")
    outbox = Outbox(_Base.metadata)
    outbox.message("user.registered")
    names: dict[str, Any] = {"Session": Session, "engine": engine, "User": _User, "outbox": outbox}
    names["producer"] = _CrashedProducer()
    _Base.metadata.create_all(engine)
    with pytest.raises(ConnectionResetError):
        exec(broken, names)
    with engine.begin() as connection:
        assert connection.execute(select(_User.account_no)).all() == [("A1001",)]
        connection.execute(delete(_User))
    exec(mended, names)
    with engine.connect() as connection:
        assert connection.execute(select(outbox.tasks.c.task_key)).all() == [("A1001",)]


def test_the_consumer_takes_a_message_once() -> None:
    _, _, _, consumer, _ = snippets("README.md")
    engine = create_engine("sqlite://")
    outbox, inbox = Outbox(_Base.metadata), Inbox(_Base.metadata)
    names: dict[str, Any] = {"Session": Session, "engine": engine, "Inbox": Inbox, "Base": _Base, "Coupon": _Coupon}
    names |= {"outbox": outbox, "Consumer": Consumer}
    _Base.metadata.create_all(engine)
    exec(consumer, names)
    (subscription,) = names["consumer"].subscriptions
    message = Received(Partition("user.registered", 0), 7, None, b'{"account_no": "A1001"}', {"message-id": b"01a2"})
    assert subscription.takes(message)
    for attempt in (1, 2):
        Effects(engine, outbox, inbox).deliver(subscription, message, attempt)
    with Session(engine) as session:
        assert session.scalars(select(_Coupon.account_no)).all() == ["A1001"]


def test_the_task_is_enqueued_with_the_row_and_done(tmp_path: Path) -> None:
    *_, task = snippets("README.md")
    engine = create_engine(f"sqlite:///{tmp_path}/app.db?timeout=60")
    outbox = Outbox(_Base.metadata)
    names: dict[str, Any] = {"Session": Session, "engine": engine, "outbox": outbox, "User": _User, "Coupon": _Coupon}
    _Base.metadata.create_all(engine)
    exec(task, names)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE asyncflow_task SET order_time = '2020-01-01 00:00:00.000000'")
        )  # a minute later
    Scheduler(engine, outbox, {}).drain()
    with Session(engine) as session:
        assert session.scalars(select(_Coupon.account_no)).all() == ["A1002"]


_IMPORTS = """
from asyncflow import *
from asyncflow.errors import UnknownTaskTypeError
from asyncflow.integrations.kafka import *
from sqlalchemy import *
from sqlalchemy.orm import *
"""
_ORDERS = """
class Order(Base):
    __tablename__ = "orders"
    number: Mapped[str] = mapped_column(primary_key=True)

class Coupon(Base):
    __tablename__ = "coupons"
    account_no: Mapped[str] = mapped_column(primary_key=True)

class Alembic:
    def configure(self, **options):
        self.configured = options

inbox = Inbox(Base.metadata)
context, connection = Alembic(), None
as_json = lambda order: order and {"number": order.number}
"""


def test_the_pages_code_runs_in_its_order(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'pages.db'}?timeout=60")
    names: dict[str, Any] = {}
    exec(compile(_IMPORTS, "imports", "exec", dont_inherit=True), names)
    names |= {"engine": engine, "publishers": {"kafka": MemoryPublisher()}, "message_id": "01a2"}
    put_in, *_ = snippets("docs/publish.md")
    exec(put_in, names)
    exec(compile(_ORDERS, "orders", "exec", dont_inherit=True), names)
    for page in ("publish", "tasks", "service", "jobs", "operate", "consume", "run"):
        for block, error in zip(snippets(f"docs/{page}.md"), errors(f"docs/{page}.md"), strict=True):
            if block != put_in:
                _run(block, error, names)
        if page == "publish":
            _assert_built(names, engine)
    assert callable(names["context"].configured["render_item"])


def _run(block: CodeType, error: str | None, names: dict[str, Any]) -> None:
    """Run a block with the tables that all before it declared; one that names an error in a comment raises it."""
    names["Base"].metadata.create_all(names["engine"])
    with Session(names["engine"]) as names["session"], pytest.raises(names[error]) if error else nullcontext():
        exec(block, names)


def _assert_built(names: dict[str, Any], engine: Any) -> None:
    outbox, publisher = names["outbox"], MemoryPublisher()
    with Session(engine) as session, session.begin():
        session.add(names["Order"](number="1"))
        for number in ("1", "2"):
            outbox.publish(session, "order.placed", key=number)
    names["Scheduler"](engine, outbox, {"kafka": publisher}).drain()
    placed = [record for record in publisher.records if record.topic == "order.placed"]
    assert [_content(record) for record in placed] == [("1", {"number": "1"})]


def _content(record: Record) -> tuple[str, Any]:
    assert record.key is not None
    return record.key.decode(), json.loads(record.value)
