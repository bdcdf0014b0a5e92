"""What a publisher to webhooks is told is checked where it is made; URLs, headers and pauses are what HTTP has."""

from __future__ import annotations

import ssl
import subprocess
import sys
from typing import Any

import httpx
import pytest

from asyncflow.errors import MissingExtraError, OptionError
from asyncflow.integrations.webhooks import WebhookPublisher, WebhookSettings, make_secret
from asyncflow.integrations.webhooks.addresses import Addresses, UnfitUrlError
from asyncflow.integrations.webhooks.doubts import FREE, MOST_KEPT, Doubts
from asyncflow.integrations.webhooks.header_fields import field_of
from asyncflow.integrations.webhooks.outcomes import Doubtful, judge_error
from asyncflow.integrations.webhooks.posts import Post, PostMaker, id_of
from asyncflow.integrations.webhooks.retry_after import seconds_asked
from asyncflow.scheduler.publishing.publisher import Record, Rejected, Retry, Unavailable

URL = "https://hooks.shop.test/{topic}"
SECRET = make_secret()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connect_timeout_seconds", 0),
        ("read_timeout_seconds", "10"),
        ("delivery_timeout_seconds", 301),
        ("delivery_timeout_seconds", float("nan")),
        ("concurrency", 0),
        ("concurrency", 2.0),
        ("max_retry_after_seconds", -1),
        ("max_message_bytes", True),
        ("retried_statuses", [404]),
        ("retried_statuses", {500}),
        ("retried_statuses", {"404"}),
    ],
)
def test_a_setting_at_fault_is_named_with_its_value_and_what_is_taken(name: str, value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        WebhookSettings(**{name: value})
    assert str(caught.value).startswith((f"{name} is {value!r}; give ", f"{name}={value!r} is refused: give "))


@pytest.mark.parametrize(
    "headers",
    [
        ["a"],
        {"Host": "s3cret"},
        {"webhook-signature": "s3cret"},
        {"Content-Type": "s3cret"},
        {"a b": "s3cret"},
        {"a": "s3cret\r\nb: c"},
        {"a": "s3cret é"},
        {"a": b"s3cret"},
    ],
)
def test_headers_at_fault_are_refused_without_their_values(headers: Any) -> None:
    with pytest.raises(OptionError, match="header") as caught:
        WebhookSettings(headers=headers)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "hooks.shop.test",
        "ftp://hooks.shop.test/s3cret",
        "https:///s3cret",
        "https://u:s3cret@host/",
        "https://host:s3cret/",
        "https://host:0/s3cret",
        "https://host/s3cret#f",
        "https://host/s3cret path",
        "https://hóst/s3cret",
        "https://{topic}/",
        "https://host/{tpoic}/s3cret",
        "https://a b/s3cret",
        "javascript://host/s3cret",
        "https://host/\ns3cret",
    ],
)
def test_a_url_that_is_no_webhook_is_refused_and_not_shown(url: Any) -> None:
    if url == "https://{topic}/":  # a topic decides
        with pytest.raises(UnfitUrlError):
            Addresses(url).of("ключ")
        return
    with pytest.raises(OptionError, match=r"url is refused: .*; give https://HOST/PATH") as caught:
        WebhookPublisher(url, SECRET)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("topic", "url"),
    [
        ("users", "https://hooks.shop.test/users"),
        ("a/b ?#%", "https://hooks.shop.test/a%2Fb%20%3F%23%25"),
        ("ключ", "https://hooks.shop.test/%D0%BA%D0%BB%D1%8E%D1%87"),
        ("..x", "https://hooks.shop.test/..x"),
    ],
)
def test_a_topic_stands_in_its_url_as_one_part_of_it(topic: str, url: str) -> None:
    assert Addresses(URL).of(topic).url == url


@pytest.mark.parametrize("topic", [".", ".."])
def test_a_topic_that_would_lead_elsewhere_is_refused(topic: str) -> None:
    publisher = WebhookPublisher(URL, SECRET)
    assert publisher.topic_fault("users") is None
    assert "is refused" in str(publisher.topic_fault(topic))


def test_a_function_that_knows_no_url_for_a_topic_says_so_at_the_start() -> None:
    urls = {"users": "https://u.test/", "bad": "ftp://s3cret"}
    publisher = WebhookPublisher(urls.__getitem__, SECRET)
    assert publisher.topic_fault("users") is None
    assert publisher.topic_fault("other") == "the function url raised KeyError"
    assert publisher.topic_fault("bad") == "its URL is refused: it does not begin with https:// or http://"


@pytest.mark.parametrize(
    ("url", "many"),
    [("https://a.test/{topic}", False), ("https://{topic}.a.test/", True), (lambda topic: f"https://{topic}/", True)],
)
def test_topics_with_hosts_of_their_own_are_told_apart(url: Any, many: bool) -> None:
    assert Addresses(url).have_many_hosts is many


def test_a_publisher_tells_what_it_takes() -> None:
    publisher = WebhookPublisher(URL, SECRET, WebhookSettings(max_message_bytes=5000, concurrency=200))
    assert (publisher.system, publisher.keeps_key_order, publisher.max_record_bytes) == ("webhooks", True, 5000)
    assert publisher.records_at_once == 200
    assert publisher.publish([]) == []
    publisher.close()


@pytest.mark.parametrize("name", ["retries", "limits", "trust_env", "no_such_option"])
def test_a_client_option_that_would_break_a_promise_or_is_unknown_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        WebhookPublisher(URL, SECRET, client_options={name: 1})


@pytest.mark.parametrize("options", [{"proxy": "ftp://u:s3cret@host"}, {"verify": "/no/s3cret.pem"}])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_client_option_whose_value_is_at_fault_is_refused_without_it(options: Any) -> None:
    with pytest.raises(OptionError, match="client_options are refused by httpx") as caught:
        WebhookPublisher(URL, SECRET, client_options=options)
    assert "s3cret" not in str(caught.value)


# -- headers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("tenant", "acme", "acme"),
        ("tenant", "", ""),
        ("baggage", "a=b%20c, d=e", "a=b%20c, d=e"),
        ("tenant", "é", "UTF-8''%C3%A9"),
        ("tenant", " a ", "UTF-8''%20a%20"),
        ("tenant", "a\r\nb: c", "UTF-8''a%0D%0Ab%3A%20c"),
        ("tenant", "UTF-8''a", "UTF-8''UTF-8%27%27a"),
        ("ce-subject", 'a b "é" 100%', "a%20b%20%22%C3%A9%22%20100%25"),
    ],
)
def test_a_value_goes_as_it_is_or_marked_as_encoded(name: str, value: str, field: str) -> None:
    assert field_of(name, value.encode()) == field


def made(record: Record, **settings: Any) -> Post | Rejected | Retry:
    (one,) = PostMaker(Addresses(URL), SECRET, WebhookSettings(**settings)).make_all([record])
    return one


def record(**headers: str) -> Record:
    named = {"message-id": "id-1", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Record("t", b"k", b"{}", [(name, value.encode()) for name, value in named.items()])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (record(Host="evil"), "the header 'Host' cannot be sent: the publisher or the connection decides on it"),
        (record(content_length="7"), "the header 'content-length' cannot be sent"),
        (record(webhook_signature="v1,x"), "the header 'webhook-signature' cannot be sent"),
        (record(authorization="me"), "the header 'authorization' cannot be sent: it is among those of WebhookSettings"),
        (record(**{"a b": "c"}), "the header 'a b' cannot be sent: HTTP has names of letters"),
        (record(content_type="text/é"), "a content type of plain ASCII"),
        (record(message_id="a.b"), "its id 'a.b' cannot be signed"),
        (record(message_id=""), "its id '' cannot be signed"),
        (record()._replace(value=b"x" * 101), "the message has 101 bytes; max_message_bytes is 100"),
    ],
)
def test_what_no_request_can_carry_is_rejected_by_name(given: Record, text: str) -> None:
    one = made(given, headers={"Authorization": "s3cret"}, max_message_bytes=100)
    assert isinstance(one, Rejected)
    assert text in one.error


def test_a_message_without_an_id_has_one_that_its_content_makes() -> None:
    bare = Record("t", b"k", b"{}", [])
    assert id_of(bare) == id_of(bare._replace(headers=[("a", b"b")]))
    assert id_of(bare) != id_of(bare._replace(value=b"[]"))
    one = made(bare)
    assert isinstance(one, Post)
    assert dict(one.headers_at(1.9))["webhook-timestamp"] == "1"


def test_without_secrets_nothing_is_signed() -> None:
    (one,) = PostMaker(Addresses(URL), None, WebhookSettings()).make_all([record()])
    assert isinstance(one, Post)
    assert dict(one.headers_at(1.0)).keys() & {"webhook-id", "webhook-signature"} == {"webhook-id"}


def test_a_function_of_secrets_that_gives_none_is_told_by_topic() -> None:
    given: Any = {"t": "s3cret"}.get
    (one,) = PostMaker(Addresses(URL), given, WebhookSettings()).make_all([record()])
    assert isinstance(one, Rejected)
    assert one.error.startswith("the secrets of the topic 't' are refused: a secret does not begin with whsec_")
    assert "s3cret" not in one.error


# -- pauses and doubts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "30"}, 30),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "9" * 50}, 600),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "1.5"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20),  # by our clock
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT", "date": "Thu, 01 Jan 1970 00:01:30 GMT"}, 30),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 600),
        ({"retry-after": "Thursday, 01-Jan-70 00:02:00 GMT"}, 20),
        ({"retry-after": "Thu Jan  1 00:02:00 1970"}, 20),
        ({"retry-after": "Thu, 99 Jan 1970 00:02:00 GMT"}, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(headers: dict[str, str], seconds: float) -> None:
    assert seconds_asked(headers, 600, lambda: 100.0) == seconds


SILENT = Doubtful("no answer in time")


class Met:
    def __init__(self) -> None:
        self.now = 0.0
        self.doubts = Doubts(lambda: self.now)

    def silence(self, message_id: str = "a", url: str = "u") -> type:
        began, self.now = self.now, self.now + 1
        return type(self.doubts.resolve(message_id, url, SILENT, began))

    def answer(self, message_id: str = "b", url: str = "u") -> None:
        self.now += 1
        self.doubts.answered(message_id, url)


def test_silence_costs_an_attempt_when_it_was_met_often_in_a_row_and_then_it_begins_anew() -> None:
    met = Met()
    assert [met.silence() for _ in range(FREE * 2 + 2)] == ([Unavailable] * FREE + [Retry]) * 2


def test_silence_costs_an_attempt_where_another_was_answered_since() -> None:
    met = Met()
    met.answer()
    assert met.silence() is Unavailable  # that was before
    met.answer(url="elsewhere")
    assert met.silence() is Unavailable
    met.answer()
    assert met.silence() is Retry
    met.answer()
    assert met.silence() is Retry  # and holds nobody up when it comes again
    assert met.silence("c") is Unavailable


def test_who_is_answered_begins_anew() -> None:
    met = Met()
    for _ in range(FREE):
        met.silence()
    met.answer("a", "elsewhere")
    assert met.silence() is Unavailable


def test_doubts_remember_so_many_and_no_more() -> None:
    met = Met()
    for number in range(MOST_KEPT * 2):
        met.silence(f"{number}")
        met.answer(f"x{number}", f"u{number}")
    assert (len(met.doubts._met), len(met.doubts._answered)) == (MOST_KEPT, MOST_KEPT)


# -- the package -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ssl.SSLError("alert certificate required"), ConnectionResetError(), httpx.ReadError("")]
)
def test_a_connection_that_breaks_is_no_word_of_the_receiver_however_the_client_tells_of_it(error: Exception) -> None:
    assert isinstance(judge_error(httpx, error, "shop.example"), Doubtful)


def test_the_package_imports_without_the_client() -> None:
    program = "import sys, asyncflow.integrations.webhooks; print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_missing_extra_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r'pip install "asyncflow-outbox\[webhooks\]"'):
        WebhookPublisher(URL, SECRET)
