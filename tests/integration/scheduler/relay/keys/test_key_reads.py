"""A parked key is read along its index, from where it begins, whatever stands behind it or the planner believes."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select, text, update

from asyncflow import Status
from tests.integration.conftest import Schedule
from tests.integration.scheduler.relay.test_order import Ledger, declare, enqueue, rounds
from tests.integration.speed.places import watching
from tests.support.application import Application

TURNS, ROWS_OF_A_TURN, SETTLED_TURNS = 30, 100, 15
# What a round takes at first, the rows of a turn that are sorted by their ids, and the one that tells of more.
MOST_EXAMINED = 64 + 2 * ROWS_OF_A_TURN + 1


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_round_of_a_key_examines_what_it_takes_and_not_all_that_waits_or_is_settled(
    application: Application, schedule: Schedule
) -> None:
    declare(application)
    application.outbox.message("other.moved", ordered=True)
    if application.engine.dialect.name == "postgresql":
        with application.engine.begin() as connection:  # so it knows nothing of the keys
            connection.execute(text(f"ALTER TABLE {application.outbox.tasks.name} SET (autovacuum_enabled = false)"))
    for first in range(0, TURNS * ROWS_OF_A_TURN, ROWS_OF_A_TURN):
        enqueue(application, "hot", *range(first, first + ROWS_OF_A_TURN))
    settle_some_and_park(application)
    ledger = Ledger()
    with watching(application.engine) as sent:
        rounds(schedule(ledger, round_size=20), 2)
    places = {"scheduler/relay/keys/parking:_read_key", "scheduler/relay/keys/parking:write"}
    of_key = [one for one in sent if one.place in places]
    assert {one.place for one in of_key} == places
    assert max(one.examined for one in of_key) <= MOST_EXAMINED, of_key
    first = SETTLED_TURNS * ROWS_OF_A_TURN
    arrived = ledger.arrived["hot"]
    assert arrived == list(range(first, first + len(arrived)))
    assert arrived


def settle_some_and_park(application: Application) -> None:
    """Let the key have sent its first turns, and be read by itself since, with nothing of it in the pages' way."""
    tasks, parked = application.outbox.tasks, application.outbox.parked_keys
    with application.engine.begin() as connection:
        moments = list(connection.execute(select(tasks.c.created_at).distinct().order_by(tasks.c.created_at)).scalars())
        begin = moments[SETTLED_TURNS]
        is_before = tasks.c.created_at < begin
        connection.execute(update(tasks).where(is_before).values(status=int(Status.SUCCESS)))
        aside = text("order_time = order_time + INTERVAL '1' DAY")
        connection.execute(text(f"UPDATE {tasks.name} SET {aside} WHERE status = 0"))
        one = select(tasks.c.task_type, tasks.c.task_key, tasks.c.shard, tasks.c.created_at, tasks.c.created_at)
        row = one.where(tasks.c.created_at == begin).limit(1)
        names = [parked.c.task_type, parked.c.task_key, parked.c.shard, parked.c.since, parked.c.due]
        connection.execute(insert(parked).from_select(names, row))
