"""What the answers of a search server mean for each document of a bulk."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from asyncflow.integrations.opensearch.actions import Action
from asyncflow.integrations.opensearch.outcomes import judge_answer, judge_error, judge_template
from asyncflow.scheduler.publishing.publisher import SENT, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Suspect

HOST = "search:9200"
ACTION = Action("outcomes", b"", True)


def item(status: int, kind: str = "", reason: str = "", **more: Any) -> dict[str, Any]:
    error = {"error": {"type": kind, "reason": reason, **more}} if kind else {}
    return {"index": {"status": status, **error}}


def of_item(answered: dict[str, Any], action: Action = ACTION) -> Any:
    (found,) = judge_answer(200, orjson.dumps({"items": [answered]}), [action], HOST)
    return found


@pytest.mark.parametrize("status", [200, 201])
def test_what_was_indexed_is_sent(status: int) -> None:
    assert of_item(item(status)) == SENT


def test_a_document_that_is_there_already_or_is_older_is_sent() -> None:
    conflict = item(409, "version_conflict_engine_exception", "current version [9]")
    assert of_item(conflict) == SENT
    assert isinstance(of_item(conflict, Action("outcomes", b"", False)), Rejected)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "es_rejected_execution_exception"),
        (429, "cluster_block_exception"),
        (403, "cluster_block_exception"),
        (503, "unavailable_shards_exception"),
        (404, "index_not_found_exception"),
        (400, "index_closed_exception"),
        (400, "validation_exception"),
    ],
)
def test_an_index_that_takes_nothing_for_now_is_left_alone_and_no_attempt_is_spent(status: int, kind: str) -> None:
    found = of_item(item(status, kind, "not now"))
    assert isinstance(found, Unavailable)
    assert found.is_of_topic
    assert found.error == f"outcomes: {status} {kind}: not now"


def test_a_fault_of_the_server_costs_an_attempt() -> None:
    assert isinstance(of_item(item(500, "engine_exception", "broken")), Retry)


def test_a_document_that_does_not_fit_is_refused_with_the_reason() -> None:
    cause = {"caused_by": {"reason": 'For input string: "abc"'}}
    found = of_item(item(400, "mapper_parsing_exception", "failed to parse field [attempts]", **cause))
    assert isinstance(found, Rejected)
    assert "failed to parse field [attempts] For input string" in found.error


def test_each_item_has_its_own_outcome() -> None:
    items = [item(201), item(400, "mapper_parsing_exception", "no"), item(429, "x", "y"), item(201)]
    found = judge_answer(200, orjson.dumps({"errors": True, "items": items}), [ACTION] * 4, HOST)
    assert [type(one).__name__ for one in found] == ["Sent", "Rejected", "Unavailable", "Sent"]


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 429, 500, 502, 503])
def test_a_server_that_takes_no_bulk_is_away(status: int) -> None:
    found = judge_answer(status, b'{"error":{"type":"a","reason":"b"}}', [ACTION] * 2, HOST)
    assert found == [Unavailable(f"search:9200 answered {status}: a b")] * 2


def test_a_bulk_that_is_refused_as_a_whole_makes_its_documents_suspects() -> None:
    for status, content in ((413, b""), (400, b'{"error":{"type":"illegal_argument_exception","reason":"b"}}')):
        found = judge_answer(status, content, [ACTION] * 2, HOST)
        assert [type(one) for one in found] == [Suspect] * 2


def test_who_is_no_search_server_and_says_400_is_away() -> None:
    assert isinstance(judge_answer(400, b"<html>plain HTTP request sent to HTTPS port", [ACTION], HOST)[0], Unavailable)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"items":{}}', b'{"items":[{"index":{"status":201}}]}'])
def test_an_answer_that_tells_nothing_of_each_document_is_none(content: bytes) -> None:
    assert (
        judge_answer(200, content, [ACTION] * 2, HOST) == [Unavailable("search:9200 did not answer as to a bulk")] * 2
    )


def test_a_template_that_is_refused_is_told_by_its_name() -> None:
    assert judge_template(200, b"", "outcomes", HOST) is None
    told = judge_template(400, b'{"error":{"type":"a","reason":"b"}}', "outcomes", HOST)
    assert told == "the index template 'outcomes' is refused: search:9200 answered 400: a b"


def test_what_a_client_raises_is_told_without_a_url() -> None:
    assert judge_error(httpx, TimeoutError(), HOST) == Unavailable("search:9200: no answer in time")
    assert judge_error(httpx, httpx.ReadTimeout("x"), HOST) == Unavailable("search:9200: no answer in time")
    assert judge_error(httpx, httpx.ConnectError("refused"), HOST) == Unavailable("search:9200: ConnectError: refused")
