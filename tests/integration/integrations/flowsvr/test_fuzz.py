"""Requests made up from the service's own OpenAPI document: whatever comes in, no answer is a fault of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error

from asyncflow.integrations.flowsvr import ServiceSettings, make_app
from tests.integration.integrations.flowsvr.conftest import SECRETS, TOKENS
from tests.support.application import Application

_FEW, _MANY = 15, 150  # examples of each route, in the short form and in the long one


@pytest.fixture(params=[_FEW, pytest.param(_MANY, marks=pytest.mark.long)], ids=["short", "long"])
def examples(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def document(application: Application) -> Iterator[schemathesis.openapi.OpenApiSchema]:
    """Give the document of a service with one task of the type ``mail``."""
    application.outbox.task("mail")
    limits = ServiceSettings(max_wait_seconds=0.05, look_interval_seconds=0.02, stop_timeout_seconds=2.0)
    app = make_app(application.engine, application.outbox, TOKENS, limits)
    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, "mail")
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    asyncio.run(app.state.service.stop())


def test_no_request_makes_the_service_fail(document: schemathesis.openapi.OpenApiSchema, examples: int) -> None:
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) > 25
    for operation in operations:
        statuses = statuses_of(operation, examples)
        assert statuses, operation.label
        assert max(statuses) < 500, (operation.label, statuses)


def statuses_of(operation: schemathesis.schemas.APIOperation, examples: int) -> set[int]:
    """Send made up requests to one route; return the statuses of the answers."""
    statuses: set[int] = set()
    headers = {"Authorization": f"Bearer {SECRETS['admin']}"}

    @given(case=operation.as_strategy())
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=examples == _FEW,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        response = case.call_and_validate(headers=headers, checks=[not_a_server_error])
        statuses.add(response.status_code)

    ask()
    return statuses
