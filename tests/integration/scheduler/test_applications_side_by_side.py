"""Several applications have tables of their own names in one database, and know nothing of each other."""

from __future__ import annotations

from sqlalchemy import Engine, MetaData, func, select

from asyncflow import Outbox, Scheduler, Status
from asyncflow.testing import MemoryPublisher
from tests.unit.scheduler.waiting import eventually


def application(engine: Engine, prefix: str, publisher: MemoryPublisher) -> tuple[Outbox, Scheduler]:
    metadata = MetaData()
    outbox = Outbox(metadata, prefix=prefix, shard_count=8)
    outbox.message("order.placed")
    metadata.create_all(engine)
    return outbox, Scheduler(engine, outbox, {"kafka": publisher}, lease_seconds=600.0)


def test_two_outboxes_of_other_prefixes_run_side_by_side_and_deliver_their_own(engine: Engine) -> None:
    publishers = [MemoryPublisher(), MemoryPublisher()]
    (shop, shops), (billing, billings) = (
        application(engine, prefix, publisher)
        for prefix, publisher in zip(("shop_", "billing_"), publishers, strict=True)
    )
    with shops, billings:
        with engine.begin() as connection:
            shop.publish(connection, "order.placed", {"of": "shop"})
            for _ in range(3):
                billing.publish(connection, "order.placed", {"of": "billing"})
        eventually(lambda: [len(publisher.records) for publisher in publishers] == [1, 3])
        with engine.connect() as connection:
            assert connection.scalar(select(func.count()).select_from(shop.instances)) == 1
            assert connection.scalar(select(func.count()).select_from(billing.instances)) == 1
    assert [{record.value for record in publisher.records} for publisher in publishers] == [
        {b'{"of":"shop"}'},
        {b'{"of":"billing"}'},
    ]
    with engine.connect() as connection:
        for outbox, count in ((shop, 1), (billing, 3)):
            assert connection.scalars(select(outbox.tasks.c.status)).all() == [Status.SUCCESS] * count
