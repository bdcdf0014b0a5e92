"""Documents on a real node: indexed once, never by an older one, each with an outcome of its own."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from asyncflow.integrations.opensearch import outcome_template
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Rejected, Sent, Unavailable
from tests.integration.integrations.opensearch.node import PATIENT_SECONDS, Node

pytestmark = pytest.mark.timeout(300)


def kinds(outcomes: Any) -> list[str]:
    return [type(one).__name__ for one in outcomes]


def test_what_is_sent_is_there_under_its_id(node: Node) -> None:
    batch = [node.record(f"t-{number}", attempts=number) for number in range(500)]
    assert node.publisher().publish(batch) == [SENT] * 500
    assert {its_id: document["attempts"] for its_id, document in node.documents().items()} == {
        f"t-{number}": number for number in range(500)
    }


def test_what_comes_twice_is_sent_and_changes_nothing(node: Node) -> None:
    publisher = node.publisher()
    for _ in range(2):
        assert publisher.publish([node.record("t-1", 5, outcome="success")]) == [SENT]
    assert node.ask("GET", f"/{node.index}/_doc/t-1")["_source"]["outcome"] == "success"
    assert node.ask("GET", f"/{node.index}/_doc/t-1")["_seq_no"] == 0


def test_an_older_outcome_never_overwrites_a_newer_one(node: Node) -> None:
    publisher = node.publisher()
    for microseconds, outcome in ((1, "failed"), (9, "success"), (5, "failed")):
        assert publisher.publish([node.record("t-1", microseconds, outcome=outcome)]) == [SENT]
    batch = [node.record("t-2", 7, outcome="success"), node.record("t-2", 3, outcome="failed")]
    assert publisher.publish(batch) == [SENT, SENT]
    assert {its_id: document["outcome"] for its_id, document in node.documents().items()} == {
        "t-1": "success",
        "t-2": "success",
    }


def test_without_a_version_the_last_one_stays(node: Node) -> None:
    publisher = node.publisher(version_field=None)
    for number in (2, 1):
        assert publisher.publish([node.record("t-1", number=number)]) == [SENT]
    assert node.documents()["t-1"]["number"] == 1


def test_a_document_that_does_not_fit_is_rejected_and_its_neighbours_are_sent(node: Node) -> None:
    publisher = node.publisher(templates={node.index: outcome_template(node.index)})
    batch = [node.record(f"t-{number}", attempts=number) for number in range(9)]
    batch[4] = node.record("t-4", attempts="many")
    outcomes = publisher.publish(batch)
    assert kinds(outcomes) == ["Sent"] * 4 + ["Rejected"] + ["Sent"] * 4
    refused = outcomes[4]
    assert isinstance(refused, Rejected)
    assert "failed to parse field [attempts]" in refused.error
    assert node.documents().keys() == {f"t-{number}" for number in range(9) if number != 4}


def test_an_index_that_is_closed_to_writers_costs_no_attempt_and_is_written_to_later(node: Node) -> None:
    publisher, other = node.publisher(), node.record("t-2")
    publisher.publish([node.record("t-1")])
    node.ask("PUT", f"/{node.index}/_settings", {"index.blocks.write": True})
    (blocked,) = publisher.publish([other])
    assert isinstance(blocked, Unavailable)
    assert blocked.is_of_topic
    assert "cluster_block_exception" in blocked.error
    node.ask("PUT", f"/{node.index}/_settings", {"index.blocks.write": False})
    assert publisher.publish([other]) == [SENT]


def test_a_closed_index_costs_no_attempt_and_is_written_to_when_it_is_open(node: Node) -> None:
    publisher, other = node.publisher(), node.record("t-2")
    publisher.publish([node.record("t-1")])
    node.ask("POST", f"/{node.index}/_close")
    (closed,) = publisher.publish([other])
    assert isinstance(closed, Unavailable)
    assert closed.is_of_topic
    assert "index_closed_exception" in closed.error
    node.ask("POST", f"/{node.index}/_open")
    assert publisher.publish([other]) == [SENT]


def test_an_alias_without_a_write_index_costs_no_attempt_until_it_has_one(node: Node) -> None:
    publisher, alias = node.publisher(), f"{node.index}-of-both"
    for index in (node.index, f"{node.index}-2"):
        node.ask("PUT", f"/{index}", {"aliases": {alias: {}}})
    record = node.record("t-1")._replace(topic=alias)
    (lacking,) = publisher.publish([record])
    assert isinstance(lacking, Unavailable)
    assert lacking.is_of_topic
    assert "no write index is defined" in lacking.error
    node.ask("DELETE", f"/{node.index}-2")
    assert publisher.publish([record]) == [SENT]


def test_documents_beyond_one_bulk_go_in_several(node: Node) -> None:
    batch = [node.record(f"t-{number}", text="x" * 2000) for number in range(100)]
    assert node.publisher(max_bulk_bytes=10_000).publish(batch) == [SENT] * 100
    assert len(node.documents()) == 100


def test_the_template_is_there_before_the_first_document(node: Node) -> None:
    publisher = node.publisher(templates={node.index: outcome_template(node.index, number_of_replicas=0)})
    batch = [
        node.record("t-1", task_type="invoice.send", error="RejectTask: order … has no address", result=3),
        node.record("t-2", task_type="price", result={"total": 5}, more="later"),
    ]
    assert publisher.publish(batch) == [SENT, SENT]
    mapping = node.ask("GET", f"/{node.index}/_mapping")[node.index]["mappings"]["properties"]
    assert (mapping["task_type"]["type"], mapping["settled_at"]["type"]) == ("keyword", "date")
    assert "more" not in mapping
    assert node.documents()["t-2"]["result"] == {"total": 5}
    assert node.found({"term": {"task_type": "invoice.send"}}) == ["t-1"]
    assert node.found({"match": {"error": "address"}}) == ["t-1"]
    assert node.found({"range": {"settled_at": {"lt": "2026-01-02T03:04:06Z"}}}) == ["t-1", "t-2"]


def test_a_template_that_is_refused_is_told_and_nothing_is_indexed_without_it(node: Node) -> None:
    publisher = node.publisher(templates={"strange": {"index_patterns": [node.index], "template": {"mappings": 7}}})
    (told,) = publisher.publish([node.record("t-1")])
    assert isinstance(told, Unavailable)
    assert told.error.startswith("the index template 'strange' is refused: ")
    assert node.documents() == {}


def test_a_node_that_is_away_costs_no_attempt_and_is_found_again(node: Node) -> None:
    publisher = node.publisher(connect_timeout_seconds=5)
    assert publisher.publish([node.record("t-1")]) == [SENT]
    node.proxy.refuse()
    node.proxy.reset()
    assert kinds(publisher.publish([node.record("t-2"), node.record("t-3")])) == ["Unavailable"] * 2
    node.proxy.refuse(False)
    assert publisher.publish([node.record("t-2"), node.record("t-3")]) == [SENT] * 2
    assert len(node.documents()) == 3


def test_a_silent_node_is_given_up_in_time_and_works_again(node: Node) -> None:
    publisher = node.publisher(read_timeout_seconds=1, connect_timeout_seconds=1, delivery_timeout_seconds=2)
    node.proxy.stall()
    (told,) = publisher.publish([node.record("t-1")])
    assert isinstance(told, Unavailable)
    node.proxy.resume()
    assert node.publisher().publish([node.record("t-1")]) == [SENT]


def test_close_ends_what_is_in_flight(node: Node) -> None:
    publisher = node.publisher()
    publisher.publish([node.record("t-1")])
    outcomes: list[Outcome] = []
    node.proxy.stall()
    thread = threading.Thread(target=lambda: outcomes.extend(publisher.publish([node.record("t-2")])))
    thread.start()
    publisher.close()
    thread.join(PATIENT_SECONDS / 2)
    assert not thread.is_alive()
    assert not isinstance(outcomes[0], Sent)
    node.proxy.resume()
