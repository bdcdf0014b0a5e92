"""Every page can be used by who does not see it well, or works without a mouse: axe finds nothing serious."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from asyncflow import SimpleJob
from asyncflow.integrations.dashboard.pages import pages
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.operator.schedules import Schedules
from tests.integration.conftest import Schedule
from tests.integration.integrations.dashboard.browsing import counted, dashboard_for, dead_letters
from tests.integration.integrations.dashboard.chromium import chromium, page_in, served
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SERIOUS = {"serious", "critical"}
FAULTS = """async () => (await axe.run()).violations.map(
    (one) => [one.impact, one.id, one.nodes.map((node) => node.html.slice(0, 200))])"""
IS_WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture
def axe() -> str:
    """Give the script that looks for faults."""
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed: axe is not asked")
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def test_axe_finds_nothing_serious_on_any_page_and_none_is_wider_than_a_phone(
    sqlite_application: Application, sqlite_schedule: Schedule, axe: str
) -> None:
    application = sqlite_application
    application.outbox.periodic(application.outbox.task("report.due")(_report), "0 3 1 1 *")
    sqlite_schedule(jobs=[SimpleJob("nightly", _run, cron="0 3 * * *")], tick=0.1).start()
    instances = Instances(application.engine, application.outbox)
    eventually(lambda: instances.shards("nightly"))
    eventually(lambda: Schedules(application.engine, application.outbox).periodic())
    letter = dead_letters(application, 3, key="A1")[0]
    counted(application, "user.registered", sent=[60] * 200, failed=[1] * 60, retried=[2] * 90)
    faults: list[Any] = []
    with served(dashboard_for(application)) as address, chromium() as browser:
        page = page_in(browser, viewport=DESK, bypass_csp=True)  # axe is none of the page's own scripts
        page.goto(f"{address}/letters")
        group = page.locator("table a").first.get_attribute("href").partition("letters/")[2].partition("?")[0]
        for one in pages():
            path = one.place.path.format(task_id=letter, fingerprint=group)
            page.set_viewport_size(DESK)
            page.goto(f"{address}/{path}{'?name=nightly' if path == 'job' else ''}")
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            page.evaluate(axe)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                faults += [(path, scheme, *fault) for fault in page.evaluate(FAULTS) if fault[0] in SERIOUS]
            page.set_viewport_size(PHONE)
            faults += [(path, "phone", "wider than the phone")] if page.evaluate(IS_WIDER) else []
    assert faults == []


FAULTY = """<!doctype html><html lang="en"><title>x</title><main><h1>x</h1><img src="x.png">
<form><input name="reason"></form><button></button><p style="color:#bbb;background:#fff">pale</p></main></html>"""


def test_axe_finds_what_a_page_does_wrong(axe: str) -> None:
    with chromium() as browser:
        page = page_in(browser, viewport=DESK)
        page.set_content(FAULTY)
        page.evaluate(axe)
        found = {fault for impact, fault, _ in page.evaluate(FAULTS) if impact in SERIOUS}
        is_wider = page.evaluate(IS_WIDER)
        page.set_content(f'<div style="width: {2 * PHONE["width"]}px">wide</div>')
        page.set_viewport_size(PHONE)
        assert (is_wider, page.evaluate(IS_WIDER)) == (False, True)
    assert found >= {"image-alt", "label", "button-name", "color-contrast"}


def _run(_: Any) -> None:
    """Do nothing."""


def _report() -> None:
    """Do nothing."""
