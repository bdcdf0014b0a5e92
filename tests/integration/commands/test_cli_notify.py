"""``asyncflow run --notify``: channels by their URLs, beside the scheduler."""

from __future__ import annotations

import json

import pytest

from asyncflow.cli import parser
from asyncflow.commands.diagnosis.notifying import notifying
from asyncflow.errors import OptionError
from tests.integration.scheduler.writing import alter, publish
from tests.support.application import Application
from tests.unit.integrations.notices.servers import Receiver, serving
from tests.unit.scheduler.waiting import eventually

SECRET = "sixteen letters and more"


def test_findings_reach_the_channels_that_are_named(
    sqlite_application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(sqlite_application)
    alter(sqlite_application, "order_time = '2026-01-01 00:00:00.000000'")
    receiver, scheduler = Receiver(), sqlite_application.scheduler()
    monkeypatch.setenv("ASYNCFLOW_NOTIFY", f"{receiver.url}/hook slack+{receiver.url}/slack")
    monkeypatch.setenv("ASYNCFLOW_NOTIFY_SECRET", SECRET)
    options = parser().parse_args(["run", "app:scheduler", "--notify", "env", "--notify-least", "stuck"])
    with serving(receiver.server), notifying(options, scheduler):
        eventually(lambda: {posted.path for posted in receiver.posted} == {"/hook", "/slack"})
    by_path = {posted.path: posted for posted in reversed(receiver.posted)}  # the first on each
    assert "X-Asyncflow-Signature" in by_path["/hook"].headers
    assert [one["code"] for one in json.loads(by_path["/hook"].body)["appeared"]] == ["no-instance"]
    assert "no-instance" in json.loads(by_path["/slack"].body)["text"]
    scheduler.stop()


def test_without_the_option_nobody_looks(sqlite_application: Application) -> None:
    scheduler = sqlite_application.scheduler()
    with notifying(parser().parse_args(["run", "app:scheduler"]), scheduler) as notifier:
        assert notifier is None
    scheduler.stop()


@pytest.mark.parametrize("url", ["env", "ftp://host/the-secret"])
def test_what_names_nobody_is_refused(
    sqlite_application: Application, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.delenv("ASYNCFLOW_NOTIFY", raising=False)
    scheduler = sqlite_application.scheduler()
    with pytest.raises(OptionError, match=r"put the URLs there|nobody can be notified"):
        notifying(parser().parse_args(["run", "app:scheduler", "--notify", url]), scheduler)
    scheduler.stop()
