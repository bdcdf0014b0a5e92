"""Smoke test of the installed package: every step once, from the transaction to the consumer's inbox.

    PYTHON tests/smoke.py [--editable]

PYTHON is that of an environment where the wheel was installed with its Kafka extras. No server is needed: it works on
SQLite and on the mock cluster of librdkafka. ``--editable`` allows a package that is imported from a checkout.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = str(Path(__file__).resolve().parent)
sys.path[:] = [place for place in sys.path if place != HERE]  # nothing beside this file may stand in for a package

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition  # noqa: E402
from confluent_kafka import Message as KafkaMessage  # noqa: E402
from sqlalchemy import Engine, MetaData, String, create_engine  # noqa: E402
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column  # noqa: E402

import asyncflow  # noqa: E402
from asyncflow import Inbox, Outbox, Scheduler  # noqa: E402
from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaPublisher, KafkaSettings  # noqa: E402
from asyncflow.scheduler import Publisher  # noqa: E402

TOPIC = "user.registered"
ACCOUNTS = ("A1001", "A1002", "A1003")
WAIT_SECONDS = 60.0
PATIENT = KafkaSettings(delivery_timeout_seconds=60.0)
MakePublisher = Callable[[str], Publisher]
PUBLISHERS: dict[str, MakePublisher] = {
    "kafka-python": lambda servers: KafkaPublisher(servers, PATIENT, client_options={"api_version": (2, 0)}),
    "confluent-kafka": lambda servers: ConfluentKafkaPublisher(servers, PATIENT),
}


class Base(DeclarativeBase):
    """Hold the application's tables."""


class User(Base):
    """Be the business row."""

    __tablename__ = "users"
    account_no: Mapped[str] = mapped_column(String(40), primary_key=True)


outbox = Outbox(Base.metadata)
outbox.message(TOPIC)
inbox = Inbox(MetaData())


def main() -> None:
    """Prove each step, and tell it; raise AssertionError where one does not hold."""
    prove_where_it_is_installed(editable_is_allowed="--editable" in sys.argv[1:])
    mock = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = mock.list_topics(timeout=WAIT_SECONDS).brokers.values()
    servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    with tempfile.TemporaryDirectory() as directory:
        seen = 0
        for client, make in PUBLISHERS.items():
            seen = prove_way(client, make(servers), servers, Path(directory) / f"{client}.db", seen)
    print("smoke test passed")


def prove_where_it_is_installed(*, editable_is_allowed: bool) -> None:
    """Check that the package is an installed one, and not the checkout."""
    place = Path(asyncflow.__file__).parent
    require(editable_is_allowed or "site-packages" in place.parts, f"asyncflow is imported from {place}")
    told(f"asyncflow {asyncflow.__version__} is imported from {place}")


def prove_way(client: str, publisher: Publisher, servers: str, database: Path, seen: int) -> int:
    """Take messages the whole way through one client; return how many records the topic has now."""
    url = f"sqlite:///{database}"
    require("asyncflow_inbox" in command("init-db", url), "init-db names no inbox table")
    told(f"{client}: `asyncflow init-db` made the tables")
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    ids = register(engine)
    relay(engine, publisher)
    told(f"{client}: {len(ids)} messages were committed and relayed, one was rolled back")
    records = read_topic(servers, seen + len(ids))[seen:]
    require({message_id(record) for record in records} == ids, "other messages came than were committed")
    require({(record.key() or b"").decode() for record in records} == set(ACCOUNTS), "the keys are not the accounts")
    told(f"{client}: a consumer read exactly these")
    prove_inbox(engine, records)
    told(f"{client}: the inbox let each take effect once")
    told_of = [line.split() for line in command("status", url).splitlines() if line.startswith(TOPIC)]
    require([columns[1] for columns in told_of] == ["0"], f"status tells of pending messages: {told_of}")
    told(f"{client}: `asyncflow status` shows nothing pending")
    engine.dispose()
    return seen + len(records)


def register(engine: Engine) -> set[str]:
    """Commit users with their messages, roll one back; return the ids of the committed."""
    ids = set()
    for account_no in ACCOUNTS:
        with Session(engine) as session, session.begin():
            session.add(User(account_no=account_no))
            ids.add(str(outbox.publish(session, TOPIC, {"account_no": account_no}, key=account_no)))
    with Session(engine) as session:
        outbox.publish(session, TOPIC, {"account_no": "rolled back"}, key="rolled back")
        session.flush()
        session.rollback()
    return ids


def relay(engine: Engine, publisher: Publisher) -> None:
    """Run a scheduler until nothing is due."""
    scheduler = Scheduler(engine, outbox, {"kafka": publisher})
    try:
        scheduler.drain()
    finally:
        scheduler.stop()


def read_topic(servers: str, count: int) -> list[KafkaMessage]:
    """Return the topic's records in the order of their times, once there are ``count``; more are an error too."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "smoke", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(TOPIC, timeout=WAIT_SECONDS).topics[TOPIC].partitions
        consumer.assign([TopicPartition(TOPIC, number, OFFSET_BEGINNING) for number in partitions])
        records: list[KafkaMessage] = []
        deadline = time.monotonic() + WAIT_SECONDS
        while len(records) < count and time.monotonic() < deadline:
            records += consumer.consume(count, timeout=0.2)
        records += consumer.consume(1, timeout=0.2)
    finally:
        consumer.close()
    require(len(records) == count, f"the topic has {len(records)} records and not {count}")
    return sorted(records, key=lambda record: record.timestamp()[1])


def prove_inbox(engine: Engine, records: list[KafkaMessage]) -> None:
    """Process every record twice: the first time has an effect, the second has none."""
    for expected in (True, False):
        for record in records:
            with Session(engine) as session, session.begin():
                first = inbox.process_once(session, message_id(record), consumer="coupons")
            require(first is expected, f"the inbox answered {first} for {message_id(record)}")


def message_id(record: KafkaMessage) -> str:
    """Return the id that the record carries in its headers."""
    headers: dict[str, Any] = dict(record.headers() or [])
    return str(headers["message-id"].decode())


def command(verb: str, url: str) -> str:
    """Run the console script of this environment; return what it printed."""
    script = shutil.which("asyncflow", path=str(Path(sys.executable).parent))
    require(script is not None, "this environment has no console script asyncflow")
    done = subprocess.run(
        [str(script), verb, "--database-url", url], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )
    require(done.returncode == 0, f"asyncflow {verb} exited with {done.returncode}: {done.stderr}")
    return done.stdout


def require(holds: bool, otherwise: str) -> None:
    """End the smoke test with a message unless something holds."""
    if not holds:
        raise AssertionError(otherwise)


def told(line: str) -> None:
    """Tell one thing that was proved."""
    print(f"ok  {line}", flush=True)


if __name__ == "__main__":
    main()
