"""Requests made up from the service's own OpenAPI document: the service never fails, and answers as documented."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from asyncflow.integrations.flowsvr import ServiceSettings, Token, Tokens, make_app
from asyncflow.integrations.prometheus import MetricsPage
from tests.integration.integrations.flowsvr.conftest import SECRETS, TOKENS
from tests.support.application import Application

_FEW, _MANY = 8, 150  # examples of each route, in the short form and in the long one
_FEW_OF_A_ROLE, _MANY_OF_A_ROLE = 3, 60
BESIDE = {one: f"the-secret-of-the-{one}" for one in ("scraper", "tenant")}
CALLERS = {**SECRETS, **BESIDE}
ALL_TOKENS = Tokens(
    [
        *TOKENS._tokens,
        Token.of("scraper", BESIDE["scraper"], "metrics"),
        Token.of("tenant", BESIDE["tenant"], "producer", "worker", task_types=["mai*"]),
    ]
)
# Not positive_data_acceptance: no document can tell which task types there are, or which cursors.
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.allow_header_conformance,
    checks.unsupported_method,
]
Document = Any


@pytest.fixture(params=[_FEW, pytest.param(_MANY, marks=pytest.mark.long)], ids=["short", "long"])
def examples(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def document_of(application: Application) -> Iterator[Document]:
    """Give the document of a service with one task of the type ``mail``."""
    application.outbox.task("mail")
    limits = ServiceSettings(max_wait_seconds=0.05, look_interval_seconds=0.02, stop_timeout_seconds=2.0)
    its = (application.engine, application.outbox)
    app = make_app(*its, ALL_TOKENS, limits, metrics=MetricsPage(*its))
    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, "mail")
    document = schemathesis.openapi.from_asgi("/openapi.json", app)
    document.config.generation.update(with_security_parameters=False)  # the test gives the token, or none
    yield document
    asyncio.run(app.state.service.stop())


@pytest.fixture
def document(application: Application) -> Iterator[Document]:
    yield from document_of(application)


@pytest.fixture
def document_alone(sqlite_application: Application) -> Iterator[Document]:
    yield from document_of(sqlite_application)


def test_no_request_makes_the_service_fail_or_break_its_word(document: Document, examples: int) -> None:
    ask_all(document, "admin", examples)


@pytest.mark.parametrize("caller", ["producer", "worker", *BESIDE, None])
@pytest.mark.parametrize(
    "few", [_FEW_OF_A_ROLE, pytest.param(_MANY_OF_A_ROLE, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_whatever_the_role_the_service_keeps_its_word(document_alone: Document, caller: str | None, few: int) -> None:
    ask_all(document_alone, caller, few)


def ask_all(document: Document, caller: str | None, examples: int) -> None:
    """Send made up requests to each route, half of which keep to the document, in the name of a caller or of nobody."""
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) > 25
    for operation in operations:
        modes: list[GenerationMode] = [GenerationMode("positive"), GenerationMode("negative")]
        for mode in modes if operation.body or operation.query or operation.path_parameters else modes[:1]:
            ask(operation, mode, caller, examples)


def ask(operation: Any, mode: GenerationMode, caller: str | None, examples: int) -> None:
    headers = {} if caller is None else {"Authorization": f"Bearer {CALLERS[caller]}"}

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=examples < _MANY_OF_A_ROLE,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    one()
