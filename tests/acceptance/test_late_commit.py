"""A transaction that took its id early and commits late is found, for no page is read by a cursor."""

from __future__ import annotations

import time
from uuid import UUID

from sqlalchemy.orm import Session

from tests.chaos.findings import Tell
from tests.chaos.fixtures import StartRun, on_servers_and_clients
from tests.chaos.shop import Shop
from tests.chaos.topics import TopicReader

LATE_BY_SECONDS = 5.0


@on_servers_and_clients
def test_a_transaction_that_commits_5_seconds_after_later_ones_is_delivered(
    crash_run: StartRun, shop: Shop, topic: str, client: str, finding: Tell
) -> None:
    run = crash_run(client)
    run.start_scheduler()
    with TopicReader(topic) as reader, Session(shop.engine) as late:
        (early_id,) = shop.place(late)
        late.flush()
        later_ids = _deliver_orders_for(LATE_BY_SECONDS, shop, reader)

        assert UUID(early_id) < min(map(UUID, later_ids))
        assert early_id not in reader.ids
        late.commit()
        began = time.monotonic()
        assert reader.read_until([early_id]).count(early_id) == 1
        finding(
            f"{len(later_ids)} later orders were delivered in {LATE_BY_SECONDS:g} s before the early one was "
            f"committed; it followed in {time.monotonic() - began:.2f} s ({client})"
        )
    run.settle_all()
    assert run.verdict().is_clean


def _deliver_orders_for(seconds: float, shop: Shop, reader: TopicReader) -> list[str]:
    """Commit an order and read it from the topic, and again; return their ids once the time since the first is over."""
    ids: list[str] = []
    until = None
    while until is None or time.monotonic() < until:
        with Session(shop.engine) as session:
            ids += shop.place(session)
            session.commit()
        until = until or time.monotonic() + seconds
        reader.read_until(ids[-1:])
    return ids
