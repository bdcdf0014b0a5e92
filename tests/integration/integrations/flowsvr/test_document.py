"""The document of the service: what programs generate clients from, and people read without a network."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import typing
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import jsonschema_rs
import pytest

from asyncflow.integrations.flowsvr import make_app
from tests.integration.integrations.flowsvr.conftest import SECRETS, TOKENS, Service
from tests.support.application import Application

# The task and the token of the examples, in place of which the test has its own.
TASK, TOKEN = "0198f3a2-5c1e-7d44-9b1f-3a5c7e9b1d20", "5b0d3a54-8f6c-4c1d-9c53-0f4c1f6b7a11"


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


def test_schemas_have_short_names_of_their_own(document: Any) -> None:
    assert [name for name in document["components"]["schemas"] if not re.fullmatch(r"[A-Z][A-Za-z]{2,20}", name)] == []


def test_each_body_and_each_answer_has_a_schema_and_an_example_that_fits(document: Any) -> None:
    components = {"components": document["components"]}
    for operation in operations(document):
        contents = [operation["requestBody"]["content"]] if "requestBody" in operation else []
        contents += [answer["content"] for status, answer in operation["responses"].items() if status < "300"]
        for content in contents:
            shown = content["application/json"]
            assert re.fullmatch(r"#/components/schemas/\w+", shown["schema"].get("$ref", "")), operation["operationId"]
            told = document["components"]["schemas"][shown["schema"]["$ref"].rpartition("/")[2]]
            assert set(shown["example"]) <= set(told["properties"]), operation["operationId"]
            jsonschema_rs.validator_for({**shown["schema"], **components}, validate_formats=True).validate(
                shown["example"]
            )


async def test_a_client_made_from_the_document_asks_every_operation(
    document: Any, sqlite_application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    made_client = made_from(document, tmp_path)
    service = Service(sqlite_application)
    client = made_client.AuthenticatedClient(
        base_url="http://service", token=SECRETS["admin"], httpx_args={"transport": httpx.ASGITransport(service.app)}
    )
    answers = {}
    try:
        for operation in operations(document):
            answers[operation["operationId"]] = await Asked(service, client, operation).answer()
    finally:
        await service.close()
    assert len(answers) == 32
    assert {name: undeclared(answer) for name, answer in answers.items() if undeclared(answer)} == {}


class Asked:
    """Ask one operation by the made client, with the body of its example and a task of its own."""

    def __init__(self, service: Service, client: Any, operation: Any) -> None:
        self._service = service
        self._client = client
        self._name, self._tag = operation["operationId"], operation["tags"][0].replace(" ", "_")
        content = operation.get("requestBody", {"content": {}})["content"]
        self._body = json.dumps(content["application/json"]["example"]) if content else ""

    async def answer(self) -> Any:
        # One of the operations lets the service forget it.
        assert (await self._service.admin("PUT", "/v2/task-types/issue_coupon", {})).status_code < 300
        task_id = await self._service.create("issue_coupon", key="A1001", arguments={"account_no": "A1001"})
        token = None
        if self._name not in ("hold_tasks", "v1_hold_tasks", "count_tasks"):
            held = await self._service.hold("issue_coupon", 100)
            token = next(one["token"] for one in held if one["id"] == task_id)
            if "dead" in self._tag:
                assert (await self._service.set(held[-1], "failed")).status_code == 200
        reply = await self._ask(task_id, token)
        assert reply.status_code in (200, 201), reply.content
        assert holds(reply.parsed.to_dict(), json.loads(reply.content)), reply.content
        return reply.parsed

    async def _ask(self, task_id: str, token: str | None) -> Any:
        module = importlib.import_module(f"made_client.api.{self._tag}.{self._name}")
        ask = module.asyncio_detailed
        given: dict[str, Any] = {"client": self._client}
        hints = typing.get_type_hints(ask)
        if "body" in hints:
            example = json.loads(self._body.replace(TASK, task_id).replace(TOKEN, str(token)))
            given["body"] = hints["body"].from_dict(example)
        known = {"task_id": task_id if self._name.startswith("v1_") else UUID(task_id), "task_type": "issue_coupon"}
        return await ask(**given, **{name: value for name, value in known.items() if name in hints})


def made_from(document: Any, folder: Path) -> Any:
    """Make a client's package and import it; a warning is a fault of the document."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "made.yml").write_text("post_hooks: []\n")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"]
    command += ["--path", "openapi.json", "--config", "made.yml", "--output-path", "made_client"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    assert made.returncode == 0, made.stdout + made.stderr
    return importlib.import_module("made_client")


def undeclared(answer: Any) -> list[str]:
    """Return the fields of an answer that its schema does not tell; a table of names and values has none told."""
    own = [field.name for field in type(answer).__attrs_attrs__ if field.name != "additional_properties"]
    inner = [one for name in own for one in listed(getattr(answer, name)) if hasattr(one, "additional_properties")]
    more = list(answer.additional_properties) if own else []
    return more + [field for one in inner for field in undeclared(one)]


def holds(read: Any, sent: Any) -> bool:
    """Tell whether all that was sent has been read; what may be left out may have been read as its default."""
    if isinstance(sent, dict):
        return all(name in read and holds(read[name], value) for name, value in sent.items())
    if isinstance(sent, list):
        return len(read) == len(sent) and all(map(holds, read, sent))
    return bool(read == sent)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def operations(document: Any) -> list[Any]:
    return [one for methods in document["paths"].values() for one in methods.values()]


@pytest.fixture
def document(sqlite_application: Application) -> Any:
    return make_app(sqlite_application.engine, sqlite_application.outbox, TOKENS).openapi()
