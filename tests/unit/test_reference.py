"""The reference pages tell what the code does."""

from __future__ import annotations

import dataclasses
import inspect
import re

from asyncflow import HandlerType, MessageType, events
from asyncflow.integrations.flowsvr.client import ClientSettings
from asyncflow.integrations.flowsvr.settings import ServiceSettings
from asyncflow.outbox import declaring
from asyncflow.scheduler import JobSettings, SchedulerSettings
from asyncflow.scheduler.configuration.type_config import OPTIONS
from tests.support.snippets import ROOT


def _rows(page: str) -> dict[str, str]:
    text = (ROOT / page).read_text()
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.MULTILINE))


def test_every_event_is_in_the_reference_with_its_fields() -> None:
    kinds = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, events.Event)]
    of_all = {field.name for field in dataclasses.fields(events.Event)}
    expected = {
        kind.__name__: ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind) if field.name not in of_all)
        for kind in kinds
        if kind is not events.Event
    }
    assert _rows("docs/reference/events.md") == expected


def test_every_option_of_a_job_is_in_the_reference_with_its_default() -> None:
    shown = {
        name: dataclasses.MISSING if default == "required" else eval(default.strip("`"))
        for name, default in _rows("docs/reference/jobs.md").items()
    }
    assert shown == {field.name: field.default for field in dataclasses.fields(JobSettings)}


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    shown = {name: eval(default.strip("`")) for name, default in _rows("docs/reference/settings.md").items()}
    assert shown == {field.name: field.default for field in dataclasses.fields(SchedulerSettings)}


def test_every_setting_of_the_client_is_in_the_reference_with_its_default() -> None:
    shown = {
        name: dataclasses.MISSING if default == "required" else eval(default.strip("`"))
        for name, default in _rows("docs/reference/client.md").items()
    }
    assert shown == {field.name: field.default for field in dataclasses.fields(ClientSettings)}


def test_every_setting_of_the_task_service_is_in_the_reference_with_its_default() -> None:
    shown = {name: eval(default.strip("`")) for name, default in _rows("docs/reference/flowsvr.md").items()}
    assert shown == {field.name: field.default for field in dataclasses.fields(ServiceSettings)}


def test_every_option_of_a_task_type_is_in_the_reference_with_its_default_and_its_kind() -> None:
    text = (ROOT / "docs/reference/tasks.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (\w+) \| (\w*) ?\|", text, re.MULTILINE)
    of_kinds = {
        kind: {field.name: field.default for field in dataclasses.fields(kind)} for kind in (HandlerType, MessageType)
    }
    known = {"both": of_kinds.values(), "handlers": [of_kinds[HandlerType]], "messages": [of_kinds[MessageType]]}
    for name, default, kind, _ in rows:
        if default.startswith("`"):
            assert {fields[name] for fields in known[kind]} == {eval(default.strip("`"))}, name
    for kind, options in (("handlers", declaring._HANDLER_OPTIONS), ("messages", declaring._TYPE_OPTIONS)):
        assert {row[0] for row in rows if row[2] in ("both", kind)} == set(options)
    assert {row[0] for row in rows if row[3] == "yes"} == set(OPTIONS)
