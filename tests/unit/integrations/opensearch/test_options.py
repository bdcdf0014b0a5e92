"""What a publisher to a search index is given, checked when it is made."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow.errors import OptionError
from asyncflow.integrations.opensearch import OpenSearchPublisher, OpenSearchSettings, outcome_template
from asyncflow.scheduler.publishing.publisher import Record, Unavailable

URL = "http://search:9200"


@pytest.mark.parametrize(
    "url",
    [None, "search:9200", "ftp://search", "http://", "http://ann:secret@search", "http://a:b", "http://a/?x=secret"],
)
def test_a_url_that_leads_nowhere_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(OptionError, match=r"url is .*give http\(s\)://HOST:PORT") as refused:
        OpenSearchPublisher(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("connect_timeout_seconds", 0),
        ("read_timeout_seconds", 1000),
        ("delivery_timeout_seconds", "1"),
        ("max_bulk_bytes", 1024.0),
        ("max_bulk_bytes", True),
        ("version_field", ""),
        ("templates", ["outcomes"]),
        ("templates", {"outcomes": "x"}),
        ("headers", ["x"]),
        ("headers", {"content-type": "x"}),
        ("headers", {"authorization": "secret\n"}),
    ],
)
def test_a_setting_at_fault_is_named_with_what_to_give(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=option) as refused:
        OpenSearchSettings(**{option: value})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("option", ["retries", "limits", "trust_env"])
def test_what_the_publisher_decides_is_no_client_option(option: str) -> None:
    with pytest.raises(OptionError, match=f"client option {option} is refused"):
        OpenSearchPublisher(URL, client_options={option: 1})


def test_an_unknown_client_option_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(OptionError, match="client_options are refused by httpx"):
        OpenSearchPublisher(URL, client_options={"verfiy": False})


def test_a_template_needs_the_names_of_indexes() -> None:
    with pytest.raises(OptionError, match="patterns is"):
        outcome_template()
    settings = outcome_template("outcomes-*", number_of_replicas=2)["template"]["settings"]
    assert settings == {"index.translog.durability": "request", "number_of_replicas": 2}


def test_nothing_is_sent_to_a_server_that_is_not_there_or_by_a_publisher_that_was_closed() -> None:
    publisher = OpenSearchPublisher("http://127.0.0.1:1", OpenSearchSettings(connect_timeout_seconds=1))
    batch = [Record("outcomes", b"k", b'{"settled_at":"2026-01-02T03:04:05Z"}', [])]
    (found,) = publisher.publish(batch)
    assert isinstance(found, Unavailable)
    assert found.error.startswith("127.0.0.1:1: ")
    publisher.close()
    publisher.close()
    assert publisher.publish(batch) == [Unavailable("the publisher is closed")]
