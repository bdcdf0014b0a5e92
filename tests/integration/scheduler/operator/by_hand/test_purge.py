"""A purge deletes what it shows: settled tasks of an age, and nothing that waits, works, or was settled since."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from asyncflow import Status
from asyncflow.errors import OptionError
from asyncflow.scheduler import Audit
from asyncflow.scheduler.operator.by_hand import purge as module
from asyncflow.scheduler.operator.by_hand.purge import Purge, Purger
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application

DAY = 86_400.0


def settle(application: Application, ids: Any, status: Status, days_ago: float) -> None:
    tasks = application.outbox.tasks
    values = {"status": int(status), "order_time": timedelta(days=-days_ago)}
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id.in_(ids)).values(**values))


@pytest.fixture
def some(application: Application) -> Application:
    """Have tasks in each status, of two types, of several ages."""
    application.outbox.message("other")
    ids = publish_many(application, 12)
    settle(application, ids[0:3], Status.SUCCESS, 5)
    settle(application, ids[3:5], Status.SUCCESS, 1)
    settle(application, ids[5:7], Status.FAILED, 5)
    settle(application, ids[7:8], Status.CANCELLED, 5)
    settle(application, ids[8:9], Status.PROCESSING, 5)
    settle(application, ids[9:10], Status.PENDING, 5)
    with application.engine.begin() as connection:
        tasks = application.outbox.tasks
        connection.execute(update(tasks).where(tasks.c.id.in_(ids[2:3])).values(task_type="other"))
        connection.execute(insert(application.outbox.contexts).values(task_id=ids[0], context="{}"))
    return application


def test_what_is_shown_is_deleted_and_nothing_else(some: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    purger, purge = Purger(some.engine, some.outbox), Purge(older_than_seconds=2 * DAY)
    shown = purger.preview(purge)
    assert shown.counts == {(Status.SUCCESS, "user.registered"): 2, (Status.SUCCESS, "other"): 1}
    assert not shown.is_capped
    before, told = len(some.rows()), list[int]()
    assert purger.run(purge, actor="ann", reason="too large", on_progress=told.append) == 3
    assert told[-1] == 3
    assert len(some.rows()) == before - 3
    assert some.rows(select(some.outbox.contexts)) == []
    (entry,) = Audit(some.engine, some.outbox).entries()
    assert (entry.action, entry.actor, entry.task_key) == ("purge", "ann", "all types")
    assert entry.detail == "SUCCESS older than 172800 s"
    assert purger.run(purge, actor="ann") == 0


def test_of_a_type_and_of_other_states(some: Application) -> None:
    purger = Purger(some.engine, some.outbox)
    both = (Status.FAILED, Status.CANCELLED)
    assert purger.run(Purge(older_than_seconds=DAY, task_type="other"), actor="ann") == 1
    assert purger.run(Purge(older_than_seconds=DAY, statuses=both, task_type="other"), actor="ann") == 0
    assert purger.run(Purge(older_than_seconds=DAY, statuses=both), actor="ann") == 3
    left = {Status(status) for status in some.statuses()}
    assert left == {Status.SUCCESS, Status.PROCESSING, Status.PENDING}


def test_a_preview_ends_where_it_has_counted_enough(some: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTED", 2)
    monkeypatch.setattr(module, "_PAGE", 2)
    shown = Purger(some.engine, some.outbox).preview(Purge(older_than_seconds=0.0))
    assert shown.is_capped
    assert sum(shown.counts.values()) == 2


@pytest.mark.parametrize("statuses", [(Status.PENDING,), (Status.SUCCESS, Status.PROCESSING), ()])
def test_what_is_not_settled_is_not_purged(statuses: tuple[Status, ...]) -> None:
    with pytest.raises(OptionError, match="statuses is"):
        Purge(older_than_seconds=1.0, statuses=statuses)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), "3d", 1e12])
def test_an_age_that_is_none_is_refused(seconds: Any) -> None:
    with pytest.raises(OptionError, match="older_than_seconds is"):
        Purge(older_than_seconds=seconds)
