"""What is shown of payloads: redacted, as text or as bytes; and mended without a change to what was not touched."""

from __future__ import annotations

import json
import sys
from fnmatch import translate
from unittest import mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.json_text import read_json, written
from asyncflow.integrations.dashboard.payloads import context_shown, difference, payload_mended, payload_shown
from asyncflow.integrations.dashboard.redaction import MARK, Redaction

RULES = Redaction()
SECRET = b'{"user":"maria","Password":"hunter2","list":[{"api_key":"k1"},{"x":{"accessToken":["a","b"]}}],"n":1.10}'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_json_is_read_and_written_again_as_it_was(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(written(read_json(text))) == value
    assert json.loads(written(read_json(text), 2)) == value


@pytest.mark.parametrize(
    "number", ["1.10", "12345678901234567890123", "1e400", "-0.0", "1E+2", "0.1000000000000000055"]
)
def test_a_number_stays_as_it_is_written(number: str) -> None:
    assert written(read_json(f'{{"amount":{number}}}')) == f'{{"amount":{number}}}'


def test_secrets_are_not_shown_at_any_depth() -> None:
    shown = payload_shown(SECRET, RULES)
    assert shown.kind == "json"
    assert "maria" in shown.text
    assert not any(secret in shown.text for secret in ("hunter2", "k1", '"a"'))
    assert RULES.of_headers({"X-Authorization": "Bearer x", "trace": "t"}) == {"X-Authorization": MARK, "trace": "t"}


def test_the_application_says_what_is_secret() -> None:
    rules = Redaction(headers=["trace"], fields=["user", "?"])
    assert payload_shown(SECRET, rules).text.count(MARK) == 3
    assert rules.of_headers({"trace": "t", "authorization": "a"}) == {"trace": MARK, "authorization": "a"}
    with pytest.raises(OptionError, match="no list of patterns"):
        Redaction(fields="password")


def test_a_large_payload_is_redacted_before_it_is_cut() -> None:
    large = json.dumps({"secret": "s3cr3t", "rest": ["x" * 100] * 5000, "password": "s3cr3t"}).encode()
    shown = payload_shown(large, RULES)
    assert "s3cr3t" not in shown.text
    assert not shown.is_whole
    assert not shown.is_editable


def test_mending_keeps_what_is_redacted_and_all_that_was_not_touched() -> None:
    text = payload_shown(SECRET, RULES).text.replace('"maria"', '"li"').replace("\n", "\r\n")
    assert payload_mended(text, SECRET, RULES) == SECRET.replace(b'"maria"', b'"li"')


def test_a_secret_can_be_replaced_and_the_difference_shows_none() -> None:
    text = payload_shown(SECRET, RULES).text.replace(f'"Password": "{MARK}"', '"Password": "new one"')
    mended = payload_mended(text, SECRET, RULES)
    assert json.loads(mended)["Password"] == "new one"
    told = difference(SECRET, mended, RULES)
    assert "new one" not in told
    assert "hunter2" not in told
    assert told


def test_a_difference_tells_what_was_changed() -> None:
    told = difference(b'{"a":1,"b":2}', b'{"a":1,"b":3}', RULES).splitlines()
    assert '-  "b": 2' in told
    assert '+  "b": 3' in told


@pytest.mark.parametrize("text", ["{", '{"a": NaN}', f'{{"new": "{MARK}"}}', "[" * 100_000])
def test_what_is_no_payload_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"no JSON|nothing was redacted"):
        payload_mended(text, SECRET, RULES)


@pytest.mark.parametrize("payload", [b"\x00\x01\xff", b"\x80abc", b"a\x1b[31mb"])
def test_bytes_are_shown_as_bytes_and_mended_by_nobody(payload: bytes) -> None:
    shown = payload_shown(payload, RULES)
    assert shown.kind == "binary"
    assert payload[:1].hex() in shown.text
    assert shown.text.isprintable()
    with pytest.raises(OptionError, match="binary"):
        payload_mended("x", payload, RULES)


def test_text_is_shown_as_text_and_none_as_none() -> None:
    assert payload_shown("grüß\n".encode(), RULES).kind == "text"
    assert payload_shown(None, RULES).kind == "none"
    assert payload_mended("new", b"old text", RULES) == b"new"


def test_a_deep_and_wide_payload_is_laid_out_only_as_far_as_it_is_shown() -> None:
    payload = b"[" * 200 + b"1," * 400_000 + b"1" + b"]" * 200
    shown = payload_shown(payload, Redaction())
    assert (shown.kind, shown.is_whole) == ("json", False)
    assert len(written(read_json(payload.decode()), 2, 1_000)) < 2_000  # whole it would be 160 million characters


def test_many_fields_are_compared_with_patterns_that_are_made_once() -> None:
    with mock.patch("asyncflow.integrations.dashboard.redaction.translate", wraps=translate) as made:
        payload_shown(orjson.dumps({f"field{number}": number for number in range(1_000)}), Redaction(fields=["*pin*"]))
    assert made.call_count <= 1


def test_a_context_is_shown_as_json_is_and_one_that_is_too_deep_is_told_to_be() -> None:
    assert context_shown({"page": 1.5, "token": "x"}, RULES) == f'{{\n  "page": 1.5,\n  "token": "{MARK}"\n}}'
    deep: list[object] = []
    for _ in range(2 * sys.getrecursionlimit()):
        deep = [deep]
    assert context_shown(deep, RULES) == "(nested too deeply to be shown)"
