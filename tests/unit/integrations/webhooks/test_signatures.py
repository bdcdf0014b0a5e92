"""Signatures by the scheme of Standard Webhooks, and who they are taken from."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from asyncflow.errors import InvalidSignatureError, OptionError
from asyncflow.integrations.webhooks import make_secret, verify
from asyncflow.integrations.webhooks.signing import SigningKeys

# An example that the libraries of the scheme have in their own tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()


def headers(**changed: str) -> dict[str, str]:
    given = {"webhook-id": ID, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}
    return {**given, **{f"webhook-{name}": value for name, value in changed.items()}}


def check(given: Any, body: Any = BODY, secrets: Any = SECRET, now: float = AT, **options: Any) -> str:
    return verify(body, given, secrets, clock=lambda: now, **options)


def test_a_message_is_signed_as_every_library_of_the_scheme_signs_it() -> None:
    assert SigningKeys(SECRET).signatures(ID, str(AT), BODY) == [SIGNATURE]
    assert check(headers()) == ID


def test_while_a_secret_is_replaced_receivers_may_know_either() -> None:
    both = " ".join(SigningKeys([OTHER, SECRET]).signatures(ID, str(AT), BODY))
    for secrets in (OTHER, SECRET, [OTHER, SECRET], (make_secret(), OTHER)):
        assert check(headers(signature=both), secrets=secrets) == ID
    assert check(headers(), secrets=[OTHER, SECRET]) == ID
    with pytest.raises(InvalidSignatureError):
        check(headers(signature=both), secrets=make_secret())


def test_headers_are_found_in_any_case_of_letters() -> None:
    assert check({name.title(): value for name, value in headers().items()}) == ID


@pytest.mark.parametrize(
    ("given", "body", "text"),
    [
        (headers(), BODY + b" ", "the body was changed"),
        (headers(id="msg_other"), BODY, "no signature"),
        (headers(timestamp=str(AT + 1)), BODY, "no signature"),
        (headers(signature=SIGNATURE[:8]), BODY, "no signature"),
        (headers(signature="v1,"), BODY, "no signature"),
        (headers(signature=SIGNATURE.replace("v1,", "v2,")), BODY, "no signature"),
        (headers(signature="v1,é"), BODY, "no signature"),
        (headers(signature=""), BODY, "webhook-signature is missing"),
        (headers(id=""), BODY, "webhook-id is missing"),
        (headers(id="a.1"), BODY, "holds a dot"),
        (headers(timestamp="soon"), BODY, "no number"),
        (headers(timestamp="-1"), BODY, "no number"),
        (headers(timestamp="9" * 5000), BODY, "no number"),
        ({}, BODY, "is missing"),
    ],
)
def test_what_is_not_signed_so_is_refused(given: dict[str, str], body: bytes, text: str) -> None:
    with pytest.raises(InvalidSignatureError, match=text):
        check(given, body)


@pytest.mark.parametrize(("apart", "is_taken"), [(0, True), (299, True), (-299, True), (301, False), (-301, False)])
def test_a_message_is_taken_minutes_around_its_signature_and_not_later(apart: int, is_taken: bool) -> None:
    if is_taken:
        assert check(headers(), now=AT + apart) == ID
        return
    with pytest.raises(InvalidSignatureError, match="at most 300 s"):
        check(headers(), now=AT + apart)
    assert check(headers(), now=AT + apart, tolerance_seconds=400) == ID


@pytest.mark.parametrize(
    "secrets",
    [
        "s3cret",
        "",
        [],
        None,
        7,
        [None],
        "whsec_s3cret!",
        "whsec_" + base64.b64encode(b"s3cret" * 3).decode(),
        "whsec_" + base64.b64encode(b"s3cret" * 11).decode(),
        [SECRET, "s3cret"],
    ],
)
def test_a_secret_at_fault_is_refused_and_not_shown(secrets: Any) -> None:
    with pytest.raises(OptionError, match="give whsec_ and 24 to 64 random bytes") as caught:
        SigningKeys(secrets)
    assert "s3cret" not in str(caught.value)
    assert base64.b64encode(b"s3cret" * 3).decode() not in str(caught.value)


def test_a_body_that_was_decoded_is_refused() -> None:
    with pytest.raises(OptionError, match="body is a str"):
        check(headers(), BODY.decode())


def test_a_made_secret_is_one_and_keys_show_none() -> None:
    secret = make_secret()
    assert secret != make_secret()
    assert repr(SigningKeys([secret, SECRET])) == "<SigningKeys: 2>"
