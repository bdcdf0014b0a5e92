"""Payloads: what is written as JSON, what passes as bytes, what is refused."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from asyncflow.errors import PayloadNotSerializableError, RefusedError
from asyncflow.outbox.payload import BINARY, JSON, encode

NAN, INFINITY = math.nan, math.inf
AN_ID = UUID("01936f2e-8b6a-7c3d-9e4f-5a6b7c8d9e0f")


class Level(Enum):
    GOLD = "gold"
    BROKEN = NAN


class Rank(IntEnum):
    FIRST = 1


@dataclass
class Coupon:
    account_no: str
    amount: Any
    _note: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Frozen:
    __slots__ = ("amount",)
    amount: Any


class Point(BaseModel):
    amount: Any
    tags: set[float] = set()


class Account(BaseModel):
    account_no: str
    points: list[Point] = []


Pair = namedtuple("Pair", "a b")


def decoded(payload: Any) -> Any:
    body, content_type = encode(payload)
    assert content_type == JSON
    return json.loads(body)


@pytest.mark.parametrize(
    "payload",
    [
        {"account_no": "A1001", "amount": 5, "rate": 0.25, "ok": True, "none": None, "list": [1, [2]]},
        [],
        {},
        "",
        "text",
        "null",
        0,
        False,
        -(2**63),
        2**64 - 1,
        {"text": 'a"b\\c\n\x00😀'},
        {"null": "null"},
    ],
)
def test_json_values_come_back_as_they_were(payload: Any) -> None:
    assert decoded(payload) == payload


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(json_values)
def test_any_json_value_comes_back_as_it_was(payload: Any) -> None:
    assert decoded(payload) == payload


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (Coupon("A1001", 5), {"account_no": "A1001", "amount": 5}),
        (Frozen(5), {"amount": 5}),
        ({"accounts": [Account(account_no="A1001")]}, {"accounts": [{"account_no": "A1001", "points": []}]}),
        (Coupon("A1001", Point(amount=1)), {"account_no": "A1001", "amount": {"amount": 1, "tags": []}}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        ((1, 2), [1, 2]),
        (AN_ID, str(AN_ID)),
        (datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc), "2026-01-02T03:04:05.000006+00:00"),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=8))), "2026-01-02T00:00:00+08:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.10"), "1.10"),
        (Decimal("123456789012345678901234567890.123456789"), "123456789012345678901234567890.123456789"),
        (Level.GOLD, "gold"),
        (Rank.FIRST, 1),
    ],
)
def test_objects_of_an_application_become_json(payload: Any, expected: Any) -> None:
    assert decoded(payload) == expected


def test_nested_dataclasses_and_models_are_written_whole() -> None:
    payload = {
        "coupons": [Coupon("A1", Coupon("A2", 1))],
        "accounts": Account(account_no="A3", points=[Point(amount=1)]),
    }
    assert decoded(payload) == {
        "coupons": [{"account_no": "A1", "amount": {"account_no": "A2", "amount": 1}}],
        "accounts": {"account_no": "A3", "points": [{"amount": 1, "tags": []}]},
    }


@pytest.mark.parametrize("body", [b"", b"\x00\xff", bytearray(b"ab"), memoryview(b"ab"), memoryview(b"a-b-")[::2]])
def test_bytes_pass_unchanged_as_a_binary_payload(body: Any) -> None:
    assert encode(body) == (bytes(body), BINARY)


@pytest.mark.parametrize("number", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda number: number,
        lambda number: [number],
        lambda number: {"a": {"b": [1, number]}},
        lambda number: Coupon("A1001", number),
        lambda number: {"coupons": [Coupon("A1001", {"deep": number})]},
        lambda number: Frozen(number),
        lambda number: Point(amount=number),
        lambda number: [{"point": Point(amount=[number])}],
        lambda number: Coupon("A1001", Point(amount=Coupon("A1002", number))),
        lambda number: Point(amount=0, tags={number}),
        lambda number: Account(account_no="A1001", points=[Point(amount=number)]),
    ],
)
def test_a_number_that_json_lacks_is_refused_however_deep(wrap: Any, number: float) -> None:
    with pytest.raises(PayloadNotSerializableError, match="no NaN or infinity, send a text or leave the field out"):
        encode(wrap(number))


def test_a_number_that_json_lacks_is_refused_in_an_enum() -> None:
    with pytest.raises(PayloadNotSerializableError, match="no NaN"):
        encode({"level": Level.BROKEN})


def test_a_number_that_json_lacks_is_no_fault_where_it_is_not_written() -> None:
    assert decoded(Coupon("A1001", None, _note=NAN)) == {"account_no": "A1001", "amount": None}


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity"])
def test_a_decimal_that_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(PayloadNotSerializableError, match="is not finite"):
        encode({"amount": Decimal(number)})


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


class Failing(BaseModel):
    def model_dump(self, **_: Any) -> Any:
        raise KeyError("no such column")


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ("\ud800", "surrogates not allowed"),
        ({"a": ["\ud800"]}, "surrogates not allowed"),
        ({"\ud800": 1}, "surrogates not allowed"),
        (2**64, "64-bit"),
        ({"a": -(2**63) - 1}, "64-bit"),
        pytest.param(10**5000, "64-bit", id="huge"),
        ({1: "a"}, "key must be str"),
        ({None: "a"}, "key must be str"),
        ({AN_ID: "a"}, "key must be str"),
        ({("a",): 1}, "key must be str"),
        ({1, 2}, "a set cannot be written as JSON"),
        ({"a": frozenset()}, "a frozenset cannot be written"),
        ({"a": b"bytes"}, "a bytes cannot be written"),
        (1j, "a complex cannot be written"),
        (object(), "an object cannot be written"),
        (Coupon, "a type cannot be written"),
        (Pair(1, 2), "a Pair cannot be written"),
        (timedelta(1), "a timedelta cannot be written"),
        ((n for n in [1]), "a generator cannot be written"),
        (Point(amount=object()), "Unable to serialize"),
        (Point(amount=b"\xff"), "utf-8"),
        (Failing(), "no such column"),
        (nested(2000), "Recursion limit"),
        (circular(), "Recursion limit"),
    ],
)
def test_what_cannot_be_written_is_refused_with_field_fault_and_remedy(payload: Any, fault: str) -> None:
    with pytest.raises(PayloadNotSerializableError) as refused:
        encode(payload)
    text = str(refused.value)
    assert text.startswith("payload: ")
    assert fault in text
    assert text.endswith("give JSON-able values, a dataclass, a pydantic model or bytes")
    assert isinstance(refused.value, RefusedError)


def test_a_payload_may_be_as_deep_as_any_business_object() -> None:
    assert decoded(nested(200)) == nested(200)


@given(
    st.times()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.datetimes(timezones=st.just(timezone(timedelta(hours=1, seconds=7))))
)
def test_times_are_written_exactly(moment: Any) -> None:
    assert type(moment).fromisoformat(decoded(moment)).isoformat() == moment.isoformat()
