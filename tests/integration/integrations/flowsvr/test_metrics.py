"""The page of metrics of the task service: for its role, only where it is asked for."""

from __future__ import annotations

import httpx
import pytest

from asyncflow.errors import OptionError
from asyncflow.integrations.flowsvr import Token, Tokens, make_app
from asyncflow.integrations.prometheus import MetricsPage
from tests.integration.integrations.flowsvr.conftest import SECRETS, TOKENS
from tests.support.application import Application

SCRAPER = "the-secret-of-prometheus"
BOTH = Tokens([*TOKENS._tokens, Token.of("prometheus", SCRAPER, "metrics")])


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_who_has_the_role_gets_what_the_service_did_and_what_the_tables_tell(
    sqlite_application: Application,
) -> None:
    its = sqlite_application
    its.outbox.task("mail")
    app = make_app(its.engine, its.outbox, BOTH, metrics=MetricsPage(its.engine, its.outbox))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        created = await client.post("/v2/tasks", json={"task_type": "mail"}, headers=bearer(SECRETS["producer"]))
        assert created.status_code == 201, created.text
        page = await client.get("/metrics", headers=bearer(SCRAPER))
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/plain; version=")
        assert 'asyncflow_tasks_enqueued_total{task_type="mail"} 1.0' in page.text
        assert "asyncflow_look_failed 0.0" in page.text
        assert "asyncflow_shards_unowned" in page.text
        assert (await client.get("/metrics", headers=bearer(SECRETS["admin"]))).status_code == 200
        for role in ("producer", "worker"):
            assert (await client.get("/metrics", headers=bearer(SECRETS[role]))).status_code == 403
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.post("/metrics", headers=bearer(SCRAPER))).status_code == 405
        # It looks at the page, and at nothing else.
        for path in ("/v2/tasks", "/v2/counts", "/v2/task-types", "/v2/dead-letters"):
            assert (await client.get(path, headers=bearer(SCRAPER))).status_code == 403, path
        assert "/metrics" in (await client.get("/openapi.json")).json()["paths"]


async def test_there_is_no_page_unless_it_is_asked_for(sqlite_application: Application) -> None:
    app = make_app(sqlite_application.engine, sqlite_application.outbox, BOTH)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        assert (await client.get("/metrics", headers=bearer(SCRAPER))).status_code == 404


def test_a_token_for_metrics_is_bound_to_no_type_and_has_a_secret() -> None:
    with pytest.raises(OptionError, match="is for metrics"):
        Token.of("prometheus", SCRAPER, "metrics", task_types=["mail"])
    with pytest.raises(OptionError, match="is for metrics"):
        Token.of_networks("prometheus", ["10.0.0.0/8"], "metrics")
