"""A write that a database refuses again and again holds up nothing but itself."""

from __future__ import annotations

from contextlib import suppress

import pytest
from sqlalchemy import Engine, text

from asyncflow import Status
from asyncflow.errors import WriteIgnoredError
from asyncflow.events import StepFailed
from tests.support.application import Application
from tests.support.lost_answers import Broker

_REFUSES = {
    "mysql": [
        "CREATE TRIGGER cursed BEFORE UPDATE ON asyncflow_task FOR EACH ROW BEGIN "
        "IF NEW.task_type = 'cursed' THEN SIGNAL SQLSTATE '45000'; END IF; END"
    ],
    "sqlite": [
        "CREATE TRIGGER cursed BEFORE UPDATE ON asyncflow_task WHEN NEW.task_type = 'cursed' "
        "BEGIN SELECT RAISE(ABORT, 'no'); END"
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION curse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER cursed BEFORE UPDATE ON asyncflow_task FOR EACH ROW "
        "WHEN (NEW.task_type = 'cursed') EXECUTE FUNCTION curse()",
    ],
}


def test_a_settle_that_is_refused_for_good_stops_no_other_type(application: Application, engine: Engine) -> None:
    application.outbox.message("cursed")
    with engine.begin() as connection:
        for statement in _REFUSES[engine.dialect.name]:
            connection.execute(text(statement))
    scheduler = application.scheduler(broker := Broker())
    scheduler.ownership.acquire()
    for number in range(2):
        with application.session() as session, session.begin():
            application.outbox.publish(session, "cursed", b"%d 0" % number)
            application.outbox.publish(session, "user.registered", b"%d 0" % number)
        for _ in range(12):
            try:
                scheduler.relays[0].step()
            except Exception:  # noqa: BLE001 - the loop would step again, too
                continue
        statuses = {(row.task_type, row.status) for row in application.rows()}
        assert statuses == {("user.registered", Status.SUCCESS), ("cursed", Status.PENDING)}
        assert broker.arrived["user.registered/"] == list(range(number + 1))
    assert application.signals.of(StepFailed)
    scheduler.stop()


_IGNORES = {
    "sqlite": [
        "CREATE TRIGGER cursed BEFORE UPDATE ON asyncflow_task WHEN NEW.task_type = 'cursed' AND NEW.status = 2 "
        "BEGIN SELECT RAISE(IGNORE); END"
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION curse() RETURNS trigger AS $$ BEGIN RETURN NULL; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER cursed BEFORE UPDATE ON asyncflow_task FOR EACH ROW "
        "WHEN (NEW.task_type = 'cursed' AND NEW.status = 2) EXECUTE FUNCTION curse()",
    ],
}


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_settle_that_the_database_ignores_is_told_and_sends_nothing_at_once_again(
    application: Application, engine: Engine
) -> None:
    application.outbox.message("cursed")
    with engine.begin() as connection:
        for statement in _IGNORES[engine.dialect.name]:
            connection.execute(text(statement))
    scheduler = application.scheduler(broker := Broker())
    scheduler.ownership.acquire()
    with application.session() as session, session.begin():
        application.outbox.publish(session, "cursed", b"0 0")
        application.outbox.publish(session, "user.registered", b"0 0")
    for _ in range(4):
        with pytest.raises(WriteIgnoredError, match="left 1 rows of asyncflow_task as they were; look for a trigger"):
            scheduler.relays[0].step()
    assert broker.arrived["cursed/"] == [0]
    for _ in range(2):
        with suppress(WriteIgnoredError):
            scheduler.relays[0].step()
    assert broker.arrived["user.registered/"] == [0]
    statuses = {(row.task_type, row.status) for row in application.rows()}
    assert statuses == {("user.registered", Status.SUCCESS), ("cursed", Status.PENDING)}
    with engine.begin() as connection:
        of_table = " ON asyncflow_task" if engine.dialect.name == "postgresql" else ""
        connection.execute(text(f"DROP TRIGGER cursed{of_table}"))
    scheduler.relays[0].step()
    assert application.statuses() == [Status.SUCCESS] * 2
    scheduler.stop()
