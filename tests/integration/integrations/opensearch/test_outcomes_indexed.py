"""Outcomes of tasks in an index: from the outbox itself, and from a topic by a consumer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase, Session

from asyncflow import Inbox, Outbox, RejectTask, Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.opensearch import outcome_template
from tests.integration.integrations.opensearch.node import PATIENT_SECONDS, Node
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.timeout(300)


class Shop:
    """Have tasks whose outcomes are told by a message type."""

    def __init__(self, engine: Engine, destination: str, topic: str) -> None:
        class Base(DeclarativeBase):
            pass

        self.engine = engine
        self.outbox = Outbox(Base.metadata, outcomes_to="task.settled")
        self.inbox = Inbox(Base.metadata)
        self.outbox.message("task.settled", destination=destination, topic=topic)

        @self.outbox.task(keep_result=True)
        def price(order: int) -> int:
            return 7 * order

        @self.outbox.task("invoice.send")
        def send_invoice(order: int) -> None:
            raise RejectTask(f"order {order} has no address")

        self.price = price
        Base.metadata.create_all(engine)

    def work(self) -> list[str]:
        """Enqueue two tasks; return their ids."""
        with Session(self.engine) as session, session.begin():
            ids = [self.price.enqueue(session, order=3), self.outbox.enqueue(session, "invoice.send", order=3)]
        return [str(one) for one in ids]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    yield engine
    engine.dispose()


def drain(shop: Shop, publishers: dict[str, Any]) -> None:
    for _ in range(2):  # the messages are written when the tasks are done
        Scheduler(shop.engine, shop.outbox, publishers).drain()


def test_outcomes_go_from_the_outbox_into_the_index(node: Node, engine: Engine) -> None:
    shop = Shop(engine, "search", node.index)
    done, failed = shop.work()
    drain(shop, {"search": node.publisher(templates={node.index: outcome_template(node.index)})})
    documents = node.documents()
    assert documents.keys() == {done, failed}
    assert (documents[done]["outcome"], documents[done]["result"]) == ("success", 21)
    assert documents[failed]["outcome"] == "failed"
    assert node.found({"term": {"error_group": documents[failed]["error_group"]}}) == [failed]


def test_outcomes_of_a_topic_are_indexed_by_a_consumer_and_rows_of_its_own(
    node: Node, engine: Engine, tmp_path: Path, bootstrap: str
) -> None:
    elsewhere = create_engine(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    there = Shop(elsewhere, "kafka", node.index)
    done, failed = there.work()
    drain(there, {"kafka": ConfluentKafkaPublisher(bootstrap)})
    elsewhere.dispose()

    here = Shop(engine, "search", "unused")
    here.outbox.message("outcome.index", destination="search", topic=node.index)
    consumer = Consumer(engine, here.outbox, here.inbox, bootstrap, group=node.index)

    @consumer.subscribe("task.settled", topic=node.index, name="outcome.to_index")
    def to_index(session: Session, **outcome: Any) -> None:
        here.outbox.publish(session, "outcome.index", outcome, key=outcome["task_id"])

    consumer.start()
    scheduler = Scheduler(engine, here.outbox, {"search": node.publisher()})
    scheduler.start()
    try:
        eventually(lambda: len(node.documents()) == 2, PATIENT_SECONDS)
    finally:
        consumer.stop()
        scheduler.stop()
    assert {its_id: one["outcome"] for its_id, one in node.documents().items()} == {done: "success", failed: "failed"}
