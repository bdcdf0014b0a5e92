"""Channels on real servers: what they send, how it is signed, what counts as taken, and what stays secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncflow.errors import NoticeNotSentError, OptionError
from asyncflow.integrations.notices import DingTalk, Email, Slack, Webhook, WeCom, channel_at, email, posting
from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity
from asyncflow.scheduler.notices import Cleared, Notice
from tests.unit.integrations.notices.servers import Mailbox, Receiver, serving

SECRET = "sixteen letters and more"
AT = datetime(2026, 11, 29, 3, 0, tzinfo=timezone.utc)
FINDING = Finding(
    code=Code.BREAKER_OPEN,
    severity=Severity.STUCK,
    kind="destination",
    name="kafka",
    since=AT,
    cause="The broker <b>does</b> not answer &\nnobody knows why.",
    remedy="asyncflow doctor",
)
NOTICE = Notice(source="shop", at=AT, appeared=(FINDING,), cleared=(Cleared("type-behind", "task type mail"),))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let answers take long, as a busy machine's servers do."""
    for module in (posting, email):
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", 60.0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with serving(receiver.server):
        yield receiver


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    with serving(mailbox.server):
        yield mailbox


def test_a_webhook_gets_json_that_is_signed_with_its_time(receiver: Receiver) -> None:
    Webhook(f"{receiver.url}/hook", SECRET, clock=lambda: 1_764_385_200.9).send(NOTICE)
    (posted,) = receiver.posted
    told = json.loads(posted.body)
    assert (told["source"], told["at"]) == ("shop", "2026-11-29T03:00:00+00:00")
    assert [one["code"] for one in told["appeared"]] == ["breaker-open"]
    assert told["appeared"][0]["runbook"] == "docs/operate.md#breaker-open"
    runbook = "docs/operate.md#type-behind"
    assert told["cleared"] == [{"code": "type-behind", "concerns": "task type mail", "runbook": runbook}]
    assert posted.headers["X-Asyncflow-Timestamp"] == "1764385200"
    expected = hmac.new(SECRET.encode(), b"1764385200." + posted.body, hashlib.sha256).hexdigest()
    assert posted.headers["X-Asyncflow-Signature"] == f"v1={expected}"
    assert posted.headers["Content-Type"].startswith("application/json")


def test_a_webhook_without_a_secret_is_not_signed(receiver: Receiver) -> None:
    Webhook(receiver.url).send(NOTICE)
    assert "X-Asyncflow-Signature" not in receiver.posted[0].headers


def test_slack_gets_a_text_in_which_nothing_is_markup(receiver: Receiver) -> None:
    Slack(receiver.url).send(NOTICE)
    text = json.loads(receiver.posted[0].body)["text"]
    assert text.splitlines() == [
        "asyncflow shop: breaker-open destination kafka, and 1 more",
        "STUCK breaker-open destination kafka since 2026-11-29 03:00Z",
        "The broker &lt;b&gt;does&lt;/b&gt; not answer &amp; nobody knows why.",
        "mend: asyncflow doctor",
        "see: docs/operate.md#breaker-open",
        "CLEARED type-behind task type mail",
    ]


def test_dingtalk_gets_markdown_signed_as_its_robots_ask_for(receiver: Receiver) -> None:
    receiver.answer = b'{"errcode":0,"errmsg":"ok"}'
    DingTalk(f"{receiver.url}/robot/send?access_token=a", SECRET, clock=lambda: 1.5).send(NOTICE)
    query = parse_qs(urlsplit(receiver.posted[0].path).query)
    digest = hmac.new(SECRET.encode(), f"1500\n{SECRET}".encode(), hashlib.sha256).digest()
    assert query == {"access_token": ["a"], "timestamp": ["1500"], "sign": [base64.b64encode(digest).decode()]}
    body = json.loads(receiver.posted[0].body)
    assert body["msgtype"] == "markdown"
    assert body["markdown"]["title"].startswith("asyncflow shop: breaker-open")
    assert "mend: asyncflow doctor" in body["markdown"]["text"]


def test_wecom_gets_markdown_within_its_limit(receiver: Receiver) -> None:
    receiver.answer = b'{"errcode":0,"errmsg":"ok"}'
    many = Notice(source="商店" * 900, at=AT, appeared=(FINDING,))
    WeCom(receiver.url).send(many)
    body = json.loads(receiver.posted[0].body)
    assert body["msgtype"] == "markdown"
    assert len(body["markdown"]["content"].encode()) <= 4096


@pytest.mark.parametrize("channel", [DingTalk, WeCom])
@pytest.mark.parametrize("answer", [b'{"errcode":310000,"errmsg":"sign not match"}', b"ok", b"[]"])
def test_a_chat_that_answers_200_with_an_error_has_not_taken_it(
    receiver: Receiver, channel: Any, answer: bytes
) -> None:
    receiver.answer = answer
    with pytest.raises(NoticeNotSentError, match="errcode"):
        channel(receiver.url).send(NOTICE)


@pytest.mark.parametrize("status", [302, 307, 400, 404, 500])
@pytest.mark.parametrize("channel", [Webhook, Slack, DingTalk, WeCom])
def test_any_other_answer_is_a_failure_that_tells_the_host_alone(receiver: Receiver, channel: Any, status: int) -> None:
    receiver.status = status
    with pytest.raises(NoticeNotSentError) as raised:
        channel(f"{receiver.url}/services/T0/the-secret").send(NOTICE)
    assert str(raised.value) == f"127.0.0.1 answered with {status}"
    assert raised.value.__cause__ is None
    assert len(receiver.posted) == 1


def test_a_host_that_is_not_there_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        with pytest.raises(NoticeNotSentError, match=r"127\.0\.0\.1 was not reached"):
            Webhook(f"http://127.0.0.1:{port}/the-secret").send(NOTICE)
        with pytest.raises(NoticeNotSentError, match=r"127\.0\.0\.1 was not reached"):
            Email(host="127.0.0.1", port=port, sender="a@b.c", to=["d@e.f"]).send(NOTICE)


def test_e_mail_has_a_subject_of_one_line_and_all_findings(mailbox: Mailbox) -> None:
    channel = Email(host="127.0.0.1", port=mailbox.port, sender="ops@shop.test", to=["ann@shop.test", "bo@shop.test"])
    channel.send(NOTICE)
    (mail,) = mailbox.mails
    assert mail["Subject"] == "asyncflow shop: breaker-open destination kafka, and 1 more"
    assert (mail["From"], mail["To"]) == ("ops@shop.test", "ann@shop.test, bo@shop.test")
    text = mail.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"mend: asyncflow doctor" in text
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_recipient_who_is_refused_is_told(mailbox: Mailbox) -> None:
    mailbox.refuses = "nobody@shop.test"
    channel = Email(host="127.0.0.1", port=mailbox.port, sender="ops@shop.test", to=["nobody@shop.test"])
    with pytest.raises(NoticeNotSentError, match=r"refused nobody@shop\.test"):
        channel.send(NOTICE)


URLS: list[tuple[str, type[Any]]] = [
    ("https://hooks.test/a?b=c", Webhook),
    ("http://hooks.test/a", Webhook),
    ("slack+https://hooks.slack.test/services/T", Slack),
    ("dingtalk+https://oapi.dingtalk.test/robot/send?access_token=a", DingTalk),
    ("wecom+https://qyapi.weixin.test/cgi-bin/webhook/send?key=a", WeCom),
    ("smtp://mail.test/?from=a@b.c&to=d@e.f,g@h.i", Email),
    ("smtp+starttls://user:p%40ss@mail.test:2587/?from=a@b.c&to=d@e.f", Email),
    ("smtps://mail.test/?from=a@b.c&to=d@e.f&to=g@h.i", Email),
]


@pytest.mark.parametrize(("url", "kind"), URLS)
def test_a_url_names_a_channel(url: str, kind: type[Any]) -> None:
    channel = channel_at(url, SECRET)
    assert isinstance(channel, kind)
    if isinstance(channel, Email):
        assert channel.port == {"none": 25, "starttls": 2587, "tls": 465}[channel.security]
        assert channel.password in (None, "p@ss")
        assert "p@ss" not in repr(channel)


FAULTS = [
    "",
    "the-secret",
    "ftp://host/the-secret",
    "https://",
    "https:///the-secret",
    "https://host:99999/the-secret",
    "https://ho st/the-secret",
    "slack+ftp://host/the-secret",
    "slack+https:///the-secret",
    "teams+https://host/the-secret",
    "smtp://mail.test/",
    "smtp://mail.test/?from=a@b.c",
    "smtp://mail.test/?from=a&to=d@e.f",
    "smtp://mail.test/?from=a@b.c&to=d@e.f&cc=the-secret",
    "smtp://user:the-secret@mail.test/?from=a@b.c&to=d@e.f",
    "smtp+starttls://user:the-secret/x@mail.test/?from=a@b.c&to=d@e.f",
    "smtp+starttls://user:25/the-secret@mail.test/?from=a@b.c&to=d@e.f",
    "smtps://mail.test:99999/?from=a@b.c&to=d@e.f",
    "smtps://[mail.test/?from=a@b.c&to=d@e.f",
    "https://user:the-secret@host/hook",
    "https://the-secret@host:8443/hook",
    "slack+https://user:the-secret@host/hook",
    "dingtalk+https://user:the-secret@host/hook",
]


@pytest.mark.parametrize("url", FAULTS)
def test_a_url_at_fault_is_refused_without_what_may_be_secret(url: str) -> None:
    with pytest.raises(OptionError, match="give") as raised:
        channel_at(url)
    assert "the-secret" not in str(raised.value) or url == "the-secret"


def test_a_plus_in_an_address_is_a_plus() -> None:
    mail = channel_at("smtp://mail.test/?from=shop+outbox@b.c&to=ops+a@e.f,ops%2Bb@e.f")
    assert isinstance(mail, Email)
    assert (mail.sender, mail.to) == ("shop+outbox@b.c", ["ops+a@e.f", "ops+b@e.f"])


@pytest.mark.parametrize("secret", ["short", b"bytes that are long enough"])
def test_a_secret_that_anybody_could_guess_is_refused(secret: Any) -> None:
    with pytest.raises(OptionError, match="16 characters"):
        Webhook("https://host", secret)


@pytest.mark.parametrize(
    "options",
    [{"to": "a@b.c"}, {"to": []}, {"sender": "a@b.c\nBcc: x@y.z"}, {"security": "ssl"}, {"to": ["x"]}],
    ids=str,
)
def test_e_mail_at_fault_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="give"):
        Email(**{"host": "mail.test", "sender": "a@b.c", "to": ["d@e.f"], **options})
