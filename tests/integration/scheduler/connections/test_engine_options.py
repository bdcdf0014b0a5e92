"""What an application has set for the statements of its engine changes nothing of what a scheduler does on it."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow import Call, Message
from asyncflow.outbox.status import Status
from asyncflow.scheduler.diagnosis.diagnose import diagnose
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.writing import FAR, publish_many
from tests.support.application import Application

KEYS, EACH = "ABC", 4
OPTIONS: list[dict[str, Any]] = [
    {"yield_per": 2},
    {"stream_results": True, "max_row_buffer": 1},
    {"no_parameters": True},
    {"compiled_cache": None},
    {"insertmanyvalues_page_size": 1},
    {"preserve_rowcount": True},
    {"logging_token": "of the application"},
    {"isolation_level": "SERIALIZABLE"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=[", ".join(options) for options in OPTIONS])
def test_all_that_is_due_is_done_whatever_the_engine_is_set_to(
    options: dict[str, Any], application: Application
) -> None:
    outbox = application.outbox
    outbox.message("ordered", ordered=True)
    outbox.task("nothing", max_retries=0, **FAR)(lambda number: None)
    publish_many(application, 5)
    with application.engine.begin() as connection:
        for key in KEYS:
            outbox.publish_many(connection, "ordered", [Message({"n": number}, key=key) for number in range(EACH)])
        outbox.enqueue_many(connection, "nothing", [Call({"number": number}) for number in range(5)])
    application.engine = application.engine.execution_options(**options)
    publisher = MemoryPublisher()
    scheduler = application.scheduler(publisher)
    done = scheduler.drain(raise_errors=True)
    assert (done.sent, done.done, dict(done.left)) == (5 + len(KEYS) * EACH, 5, {})
    assert set(application.statuses()) == {int(Status.SUCCESS)}
    for key in KEYS:
        values = [record.value for record in publisher.records if record.key == key.encode()]
        assert values == sorted(values), key
    assert [one for one in diagnose(application.engine, outbox) if one.severity.value == "critical"] == []
    assert scheduler.stop()
