"""The document of the service: what programs generate clients from, and people read without a network."""

from __future__ import annotations

import re
from collections import Counter

from asyncflow.integrations.flowsvr import make_app
from tests.integration.integrations.flowsvr.conftest import TOKENS, Service
from tests.support.application import Application


def test_each_operation_has_a_short_name_of_its_own(sqlite_application: Application) -> None:
    document = make_app(sqlite_application.engine, sqlite_application.outbox, TOKENS).openapi()
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert [name for name in names if not re.fullmatch(r"(v1_)?[a-z]+(_[a-z]+){0,4}", name)] == []
    assert {"create_task", "hold_tasks", "v1_create_task", "count_tasks"} <= set(names)


async def test_the_page_for_people_needs_nothing_from_elsewhere(sqlite_application: Application) -> None:
    service = Service(sqlite_application)
    page = await service.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert re.findall(r"(?:src|href)=\"(?!openapi.json\")([^\"]+)", page.text) == []
    assert "<script" not in page.text
    assert "POST /v2/tasks/hold" in page.text
