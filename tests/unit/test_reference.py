"""The reference pages tell what the code does."""

from __future__ import annotations

import dataclasses
import inspect
import re

from asyncflow.integrations.flowsvr.client import ClientSettings
from asyncflow.outbox import events
from asyncflow.scheduler import JobSettings, SchedulerSettings
from tests.support.snippets import ROOT


def _rows(page: str) -> dict[str, str]:
    text = (ROOT / page).read_text()
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.MULTILINE))


def test_every_event_is_in_the_reference_with_its_fields() -> None:
    kinds = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, events.Event)]
    expected = {
        kind.__name__: ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind))
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
