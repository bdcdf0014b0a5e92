"""Django's own tasks (DEP 14) as rows of the outbox."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import override_settings

from asyncflow.integrations.django.task_backend import OutboxTaskBackend, declare_queues
from asyncflow.testing import advance, drain
from tests.integration.integrations.django.conftest import Shop
from tests.integration.integrations.django.library import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
)
from tests.support.snippets import ROOT

_MODULE = "tests.integration.integrations.django.shop_tasks"
_OPTIONS = {
    "outbox": f"{_MODULE}.outbox",
    "task_options": {"retry_interval_seconds": 0, "max_retries": 1},
    "queues": {"emails": {"concurrency": 2, "transactional": True}},
}
_TASKS = {
    "default": {
        "BACKEND": "asyncflow.integrations.django.task_backend.OutboxTaskBackend",
        "QUEUES": ["default", "emails"],
        "OPTIONS": _OPTIONS,
    }
}


on_one = pytest.mark.parametrize("using", ["sqlite"], indirect=True)  # what does not concern the database


@pytest.fixture
def tasks(shop: Shop) -> Iterator[Any]:
    """Give the tasks of a project whose outbox is on the shop's database."""
    sys.modules.pop(_MODULE, None)
    ours: Any = apps.get_app_config("asyncflow")
    with override_settings(TASKS=_TASKS):
        module = import_module(_MODULE)
        module.outbox.using = shop.using
        shop.outbox = module.outbox
        declare_queues(["default"])
        yield module
    ours._outboxes_of_tasks.clear()
    sys.modules.pop(_MODULE, None)
    del module
    gc.collect()


def test_a_task_is_done_and_its_result_is_read(tasks: Any, shop: Shop) -> None:
    result = tasks.add.enqueue(1, other=2)
    assert (result.status, result.args, result.kwargs) == (TaskResultStatus.READY, [1], {"other": 2})
    assert not result.is_finished
    shop.drain()
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == (TaskResultStatus.SUCCESSFUL, 3, 1)
    assert result.enqueued_at <= result.finished_at + timedelta(seconds=1)  # so far a clock may be set back meanwhile
    assert tasks.add.get_result(result.id).return_value == 3


def test_a_task_shares_the_fate_of_the_transaction(tasks: Any, shop: Shop) -> None:
    with suppress(KeyError), transaction.atomic(using=shop.using):
        lost = tasks.add.enqueue(1, 2)
        assert tasks.add.get_result(lost.id).status == TaskResultStatus.READY
        raise KeyError
    assert shop.tasks() == 0
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(lost.id)


def test_a_failed_attempt_is_made_again_and_the_last_one_is_told(tasks: Any, shop: Shop) -> None:
    second, never = tasks.attempts.enqueue(1), tasks.attempts.enqueue(9)
    shop.drain()
    second.refresh()
    never.refresh()
    assert (second.status, second.return_value, second.attempts) == (TaskResultStatus.SUCCESSFUL, 2, 2)
    assert (never.status, never.attempts) == (TaskResultStatus.FAILED, 2)
    assert any("attempt 2" in error.traceback for error in never.errors)
    assert never.errors[0].exception_class is Exception
    with pytest.raises(ValueError, match="failed"):
        _ = never.return_value


@on_one
def test_a_coroutine_is_awaited(tasks: Any, shop: Shop) -> None:
    result = tasks.later.enqueue("abc")
    shop.drain()
    assert tasks.later.get_result(result.id).return_value == "cba"


@on_one
async def test_it_is_enqueued_where_it_is_awaited(tasks: Any, shop: Shop) -> None:
    result = await tasks.add.aenqueue(2, 2)
    assert (await tasks.add.aget_result(result.id)).status == TaskResultStatus.READY


def test_a_queue_has_options_of_its_own_such_as_one_transaction(tasks: Any, shop: Shop) -> None:
    tasks.write.enqueue("A")
    tasks.write.enqueue("B", fails=True)
    shop.drain()
    assert shop.users() == ["A"]


def test_what_is_to_run_later_waits(tasks: Any, shop: Shop) -> None:
    with transaction.atomic(using=shop.using):
        tasks.add.using(run_after=datetime.now(timezone.utc) + timedelta(hours=1)).enqueue(1, 2)
        assert drain(shop.here, outbox=shop.outbox).done == 0
        advance(shop.here, 3601, outbox=shop.outbox)
        assert drain(shop.here, outbox=shop.outbox).done == 1


@on_one
def test_the_higher_priority_goes_first(tasks: Any, shop: Shop) -> None:
    order: list[str] = []

    def note(task_result: Any, **_: Any) -> None:
        order.append(task_result.args[0])

    signals.task_started.connect(note)
    for name in ("low", "high"):
        tasks.later.using(priority=90 * (name == "high")).enqueue(name)
    shop.drain()
    signals.task_started.disconnect(note)
    assert set(order) == {"low", "high"}
    rows = {row.priority for row in _rows(shop)}
    assert rows == {0, 90}


def _rows(shop: Shop) -> list[Any]:
    with shop.engine.connect() as connection:
        return list(connection.execute(shop.outbox.tasks.select()))


@on_one
def test_its_signals_are_sent(tasks: Any, shop: Shop) -> None:
    heard: list[tuple[str, str]] = []
    sent = {"enqueued": signals.task_enqueued, "started": signals.task_started, "finished": signals.task_finished}
    listeners = {name: lambda task_result, name=name, **_: heard.append((name, task_result.status)) for name in sent}
    for name, signal in sent.items():
        signal.connect(listeners[name])
    tasks.add.enqueue(1, 2)
    shop.drain()
    for name, signal in sent.items():
        signal.disconnect(listeners[name])
    assert heard == [("enqueued", "READY"), ("started", "RUNNING"), ("finished", "SUCCESSFUL")]


@on_one
def test_what_cannot_be_kept_fails_its_attempt(tasks: Any, shop: Shop) -> None:
    tasks.unspeakable.enqueue()
    shop.drain()
    assert [row.status for row in _rows(shop)] == [3]


@on_one
def test_what_cannot_be_done_is_refused_at_once(tasks: Any, shop: Shop) -> None:
    with pytest.raises(InvalidTask, match="priority is -1; give 0 or more"):
        tasks.add.using(priority=-1)
    with pytest.raises(InvalidTask, match="Queue"):
        tasks.add.using(queue_name="elsewhere")
    with pytest.raises(TypeError):
        tasks.add.enqueue(object(), 1)
    for strange in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(TaskResultDoesNotExist):
            tasks.add.get_result(strange)
    assert shop.tasks() == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"QUEUES": []}, "QUEUES'] is empty"),
        ({"OPTIONS": {"outbux": "x"}}, "'outbux'] is unknown; there are outbox"),
        ({"OPTIONS": {"queues": {"mails": {}}}}, "'mails', which is not among QUEUES"),
    ],
)
def test_what_is_configured_wrongly_is_named(changed: dict[str, Any], message: str, django_is_set_up: None) -> None:
    with pytest.raises(ImproperlyConfigured, match=message.replace("[", r"\[").replace("]", r"\]")):
        OutboxTaskBackend("default", {**_TASKS["default"], **changed})


def test_the_settings_of_the_page_are_taken(django_is_set_up: None) -> None:
    blocks = re.findall(
        r"^```python\n(TASKS = .*?)^```", (ROOT / "docs/django.md").read_text(), re.MULTILINE | re.DOTALL
    )
    given: dict[str, Any] = {}
    exec(blocks[0], given)
    backend = given["TASKS"]["default"].pop("BACKEND")
    assert backend == f"{OutboxTaskBackend.__module__}.{OutboxTaskBackend.__name__}"
    assert OutboxTaskBackend("default", given["TASKS"]["default"]).queues == {"default", "emails"}
