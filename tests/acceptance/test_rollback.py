"""What was rolled back is never sent, as a whole transaction or as a savepoint."""

from __future__ import annotations

from sqlalchemy.orm import Session

from tests.chaos.fixtures import StartRun, on_servers_and_clients
from tests.chaos.shop import Shop
from tests.chaos.topics import TopicReader


@on_servers_and_clients
def test_a_rolled_back_transaction_and_a_rolled_back_savepoint_deliver_nothing(
    crash_run: StartRun, shop: Shop, topic: str, client: str
) -> None:
    run = crash_run(client)
    run.start_scheduler()
    rolled_back = {*_roll_back(shop), *_roll_back_in_bulk(shop)}
    kept, taken_back = _roll_back_savepoint(shop)
    sentinel = _commit(shop)
    with TopicReader(topic) as reader:
        reader.read_until([sentinel])
        run.settle_all()
        delivered = reader.read_to_end()

    assert sorted(delivered) == sorted([*kept, sentinel])
    assert not (rolled_back | set(taken_back)) & set(delivered)


def _roll_back(shop: Shop) -> list[str]:
    with Session(shop.engine) as session:
        ids = shop.place(session, 3)
        session.flush()
        session.rollback()
    return ids


def _roll_back_in_bulk(shop: Shop) -> list[str]:
    with shop.engine.connect() as connection:
        ids = shop.place_in_bulk(connection, 3)
        connection.rollback()
    return ids


def _roll_back_savepoint(shop: Shop) -> tuple[list[str], list[str]]:
    """Return the ids placed before, between and after savepoints, and those in the one that was rolled back."""
    with Session(shop.engine) as session, session.begin():
        kept = shop.place(session)
        with session.begin_nested() as savepoint:
            taken_back = shop.place(session, 2)
            session.flush()
            savepoint.rollback()
        with session.begin_nested():
            kept += shop.place(session)
        kept += shop.place(session)
    return kept, taken_back


def _commit(shop: Shop) -> str:
    with Session(shop.engine) as session, session.begin():
        (message_id,) = shop.place(session)
    return message_id
