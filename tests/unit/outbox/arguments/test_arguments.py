"""Arguments come back as the annotation says, or are refused: at the enqueue, or where the handler is declared."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pydantic
import pydantic.dataclasses
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData
from typing_extensions import Required, Unpack
from typing_extensions import TypedDict as BackportedTypedDict

from asyncflow import Outbox
from asyncflow.errors import InvalidArgumentsError, OptionError, PayloadNotSerializableError
from asyncflow.outbox.arguments.exactness import is_same
from asyncflow.outbox.arguments.signature import Signature
from asyncflow.outbox.message import Call, call_row_of
from asyncflow.outbox.payload import encode

if TYPE_CHECKING:
    from collections import OrderedDict


class Level(Enum):
    GOLD = "gold"
    PLAIN = None


class Rank(IntEnum):
    FIRST = 1
    SECOND = 2


@dataclass
class Line:
    sku: UUID
    amount: Decimal = Decimal(1)
    tags: frozenset[str] = frozenset()
    rank: Rank | None = None


@dataclass(frozen=True)
class Order:
    lines: list[Line]
    by_day: dict[str, date] = field(default_factory=dict)
    total: float = 0.0


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)


class Point(NamedTuple):
    x: int
    at: datetime


class Told(BackportedTypedDict, total=False):
    number: Required[UUID]
    since: date


class Address(TypedDict, total=False):
    street: str
    since: date


class Account(pydantic.BaseModel):
    number: UUID
    opened: date | None = None
    lines: list[Line] = []


@pydantic.dataclasses.dataclass
class Parcel:
    number: UUID
    sent: date


UserId = NewType("UserId", UUID)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
whole = st.integers(-(2**63), 2**63 - 1)
OFFSET = timezone(timedelta(hours=-3, minutes=-30))
moments = st.datetimes(
    timezones=st.none()
    | st.sampled_from([timezone.utc, OFFSET, ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/Amsterdam")])
)
times = st.times()
decimals = st.decimals(allow_nan=False, allow_infinity=False)
lines = st.builds(Line, st.uuids(), decimals, st.frozensets(texts, max_size=3), st.sampled_from([None, *Rank]))
trees = st.recursive(
    st.builds(Tree, texts), lambda inner: st.builds(Tree, texts, st.lists(inner, max_size=2)), max_leaves=4
)

# Each annotation with values of it.
TAKEN: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (UUID, st.uuids()),
    (UserId, st.uuids()),
    (Annotated[UUID, "of a user"], st.uuids()),
    (Decimal, decimals),
    (datetime, moments),
    (date, st.dates()),
    (time, times),
    (timedelta, st.timedeltas()),
    (Level, st.sampled_from(Level)),
    (Rank, st.sampled_from(Rank)),
    (Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None])),
    (list[UUID], st.lists(st.uuids(), max_size=3)),
    (list[str], st.lists(texts, max_size=3)),
    (Sequence[date], st.lists(st.dates(), max_size=3)),
    (tuple[int, date], st.tuples(whole, st.dates())),
    (tuple[UUID, ...], st.lists(st.uuids(), max_size=3).map(tuple)),
    (tuple, st.tuples(whole, texts)),
    (set[str], st.sets(texts, max_size=3)),
    (frozenset[date], st.frozensets(st.dates(), max_size=3)),
    (dict[str, Line], st.dictionaries(texts, lines, max_size=2)),
    (Mapping[str, Any], st.dictionaries(texts, whole, max_size=2)),
    (
        dict[str, list[tuple[UUID, date]]],
        st.dictionaries(texts, st.lists(st.tuples(st.uuids(), st.dates())), max_size=2),
    ),
    (int | date, whole | st.dates()),
    (date | UUID | None, st.none() | st.dates() | st.uuids()),
    (datetime | date | time, moments | st.dates() | times),
    (Decimal | timedelta | int, decimals | st.timedeltas() | whole),
    (list[int] | Line, st.lists(whole, max_size=2) | lines),
    (int | float | str, whole | st.floats(allow_nan=False, allow_infinity=False) | texts),
    (Rank | UUID, st.sampled_from(Rank) | st.uuids()),
    (Line, lines),
    (Line | None, st.none() | lines),
    (Order, st.builds(Order, st.lists(lines, max_size=2), st.dictionaries(texts, st.dates(), max_size=2))),
    (Tree, trees),
    (Point, st.builds(Point, whole, moments)),
    (Address, st.fixed_dictionaries({}, optional={"street": texts, "since": st.dates()})),
    (Told, st.fixed_dictionaries({"number": st.uuids()}, optional={"since": st.dates()})),
    (Account, st.builds(Account, number=st.uuids(), opened=st.none() | st.dates(), lines=st.lists(lines, max_size=2))),
    (Parcel | None, st.none() | st.builds(Parcel, st.uuids(), st.dates())),
    (list[Account], st.lists(st.builds(Account, number=st.uuids(), opened=st.none()), max_size=2)),
]


def handler_of(annotation: Any) -> Any:
    def handle(value: Any) -> None: ...

    handle.__annotations__ = {"value": annotation}
    return handle


def signature_of(annotation: Any) -> Signature:
    return Signature("handle", handler_of(annotation))


def came_back(signature: Signature, value: Any) -> Any:
    body, _ = encode(signature.check({"value": value}))
    return signature.revive(orjson.loads(body))["value"]


@pytest.mark.parametrize(("annotation", "values"), TAKEN, ids=[str(annotation) for annotation, _ in TAKEN])
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_the_door_takes_comes_back_equal_and_of_the_same_types(
    annotation: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    signature, value = signature_of(annotation), data.draw(values)
    back = came_back(signature, value)
    assert is_same(value, back)
    assert back == value or "datetime" in str(annotation) or annotation in (Point,)  # see is_same


TWICE = datetime(2026, 10, 25, 2, 30, fold=1)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (datetime, TWICE),
        (time, TWICE.time()),
        (list[datetime], [TWICE, TWICE.replace(fold=0)]),
        (dict[str, time], {"at": TWICE.time()}),
        (Point, Point(1, TWICE)),
        (datetime | date | time, TWICE),
    ],
)
def test_the_second_of_two_times_that_look_alike_comes_back_as_the_second(annotation: Any, value: Any) -> None:
    back = came_back(signature_of(annotation), value)
    assert repr(back) == repr(value)  # to Python both are equal


def test_the_second_time_is_of_those_without_an_offset_alone() -> None:
    for annotation, text in ((datetime, "2026-10-25T02:30:00+01:00[fold=1]"), (time, "02:30:00+01:00[fold=1]")):
        with pytest.raises(InvalidArgumentsError, match=r"has an offset, and no \[fold=1\]"):
            signature_of(annotation).revive({"value": text})


@pytest.mark.parametrize("annotation", [time, Any, list[time]])
def test_a_time_of_day_whose_offset_depends_on_the_date_is_refused(annotation: Any) -> None:
    value: Any = time(12, tzinfo=ZoneInfo("Europe/Berlin"))
    with pytest.raises(PayloadNotSerializableError, match="offset of 12:00:00 depends on the date"):
        came_back(signature_of(annotation), [value] if "list" in str(annotation) else value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TAKEN), st.sampled_from(TAKEN), st.data())
def test_a_value_of_any_other_kind_comes_back_the_same_or_is_refused(one: Any, other: Any, data: st.DataObject) -> None:
    value = data.draw(other[1])
    with contextlib.suppress(InvalidArgumentsError, PayloadNotSerializableError):
        back = came_back(signature_of(one[0]), value)
        assert is_same(value, back) or back == value  # an IntEnum that is given for an int comes back as one


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (UUID, "01936f2e-8b6a-7c3d-9e4f-5a6b7c8d9e0f"),
        (list[UUID], ["01936f2e-8b6a-7c3d-9e4f-5a6b7c8d9e0f"]),
        (list[int], ["1"]),
        (list[int], (1, 2)),
        (list[int], [True]),
        (tuple[int, ...], [1, 2]),
        (tuple[int, int], (1, 2, 3)),
        (dict[str, int], {"a": "1"}),
        (int | date, "2026-01-31"),
        (date | None, datetime(2026, 1, 31)),
        (Line, {"sku": uuid.UUID(int=1)}),
        (Line, Line(sku="1")),  # type: ignore[arg-type]
        (Line, Line(uuid.UUID(int=1), amount=1)),  # type: ignore[arg-type]
        (Literal["a"], "b"),
        (Literal[1], True),
        (Address, {"street": 5}),
        (Address, {"city": "x"}),
        (Point, (1, datetime(2026, 1, 1))),
        (set[int], frozenset({1})),
    ],
)
def test_what_would_come_back_as_something_else_is_refused_where_it_is_given(annotation: Any, value: Any) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"^value is .*handle\(\) takes"):
        signature_of(annotation).check({"value": value})


@dataclass
class Hidden:
    _secret: int


@pytest.mark.parametrize(
    ("annotation", "fault"),
    [
        (bytes, "base64"),
        (Path, "Path does not come back"),
        (complex, "complex does not come back"),
        (object | None, None),
        (dict[int, str], "keys that are no str"),
        (str | UUID, "written alike"),
        (str | date, "written alike"),
        (list[str | Decimal], "written alike"),
        (list[int] | tuple[int, ...], "written alike"),
        (Line | Order, "written alike"),
        (dict[str, int] | Line, "written alike"),
        (Level | UUID | str, "written alike"),
        (Rank | int, "written alike"),
        (Hidden, "not written to JSON"),
        (list[Path], "Path does not come back"),
        (type[int], "does not come back"),
        ("NowhereDefined", "cannot be read"),
        ("OrderedDict[str, int]", "outside TYPE_CHECKING"),
        ("list[", "cannot be read"),
    ],
)
def test_an_annotation_that_cannot_be_kept_is_refused_where_the_handler_is_declared(
    annotation: Any, fault: str | None
) -> None:
    outbox = Outbox(MetaData())
    if fault is None:
        outbox.task(handler_of(annotation))
        return
    with pytest.raises(OptionError, match=fault) as refused:
        outbox.task(handler_of(annotation))
    assert "'value'" in str(refused.value)


def test_names_of_the_declaring_function_are_read_and_those_of_other_parameters_do_not_matter() -> None:
    @dataclass
    class Local:
        sku: UUID

    outbox = Outbox(MetaData())

    @outbox.task
    def handle(ctx: OrderedDict[str, int], one: Local) -> OrderedDict[str, int]:
        return ctx

    signature = outbox.handler_types["handle"].signature
    assert signature is not None
    assert signature.revive({"one": {"sku": str(UUID(int=1))}}) == {"one": Local(UUID(int=1))}


def test_a_signature_of_builtins_restores_and_writes_nothing_anew() -> None:
    def handle(a: int, b: str, c: float | None = None, d: list = [], e: dict | None = None, f: Any = 0) -> None: ...  # type: ignore[type-arg] # noqa: B006

    signature = Signature("handle", handle)
    assert signature._revivers == {}
    arguments = {"a": 1, "b": "x", "c": 1.5, "d": [1], "e": {}, "f": None}
    assert signature.check(arguments) is arguments


def test_json_of_the_builtin_kinds_is_checked_but_not_made_anew() -> None:
    for annotation in (list[int], dict[str, list[str]], Literal["a"], int | str | None, list[dict[str, float]]):
        assert signature_of(annotation)._revivers == {}


@pytest.mark.parametrize(
    ("annotation", "stored"),
    [(UUID, "x"), (date, 5), (Line, {"sku": "x"}), (Line, {"size": 1}), (Line, []), (list[UUID], {}), (Account, {})],
)
def test_stored_arguments_that_do_not_fit_any_more_are_told_by_name(annotation: Any, stored: Any) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"^value is .*handle\(\) takes .*: "):
        signature_of(annotation).revive({"value": stored})


def send(transfer: str, amount: int, lang: str = "en", kind: Literal["a", "b"] = "a") -> None: ...


@pytest.mark.parametrize(
    ("stored", "named", "told"),
    [
        ({"transfer": "t1"}, "amount", r"the task has no amount, which send\(\) needs: .* give amount a default"),
        (
            {"transfer": "t1", "amount": 1, "email": "a@b"},
            "email",
            r"the task carries email, which send\(\) does not take: .* keep a parameter email with a default",
        ),
        ({"transfer": 1, "amount": 1}, "transfer", r"transfer is 1, an int; send\(\) takes str: .* take both"),
        ({"transfer": "t1", "amount": True}, "amount", r"amount is True, a bool; send\(\) takes int: "),
        ({"transfer": "t1", "amount": 1, "lang": None}, "lang", r"lang is None, .*; send\(\) takes str: "),
        ({"transfer": "t1", "amount": 1, "kind": "c"}, "kind", r"kind is 'c', a str; send\(\) takes .*: "),
        (["t1", 1], None, r"the payload is \['t1', 1\], and no JSON object of arguments"),
    ],
    ids=["missing", "unknown", "of another type", "a bool", "None", "not listed", "no object"],
)
def test_a_row_that_another_version_of_the_application_wrote_is_told_with_its_remedy(
    stored: Any, named: str | None, told: str
) -> None:
    with pytest.raises(InvalidArgumentsError, match=told) as caught:
        Signature("send", send).stored(stored)
    assert caught.value.argument == named


def test_a_row_that_fits_is_given_as_it_stands() -> None:
    def handle(amount: float, rest: list[int], more: dict[str, str], who: str | None = None, **others: int) -> None: ...

    for row in (
        {"amount": 1, "rest": [], "more": {}},
        {"amount": 1.5, "rest": [1], "more": {"a": "b"}, "who": None, "other": 3},
    ):
        assert Signature("handle", handle).stored(dict(row)) == row


@pytest.mark.parametrize(
    ("annotation", "stored", "value"),
    [
        (datetime, "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=timezone.utc)),
        (UUID, "00000000000000000000000000000001", UUID(int=1)),
        (timedelta, "PT1H30M", timedelta(hours=1.5)),
        (Line, {"sku": str(UUID(int=1))}, Line(UUID(int=1))),
        (
            Account,
            {"number": str(UUID(int=1)), "opened": "2026-01-31"},
            Account(number=UUID(int=1), opened=date(2026, 1, 31)),
        ),
    ],
)
def test_json_of_other_writers_is_read(annotation: Any, stored: Any, value: Any) -> None:
    assert signature_of(annotation).revive({"value": stored}) == {"value": value}


def test_a_set_for_an_argument_that_is_not_checked_is_refused() -> None:
    outbox = Outbox(MetaData())

    @outbox.task
    def handle(tags: set[str], anything: Any = None) -> None: ...

    kind = outbox.handler_types["handle"]
    with pytest.raises(ValueError, match="a set cannot be written"):
        call_row_of(Call(kind.check({"tags": {"a"}, "anything": {"b"}})), kind, outbox._door)


def test_fields_that_a_dataclass_computes_are_left_to_it() -> None:
    @dataclasses.dataclass
    class Sum:
        parts: list[int]
        total: int = dataclasses.field(init=False)

        def __post_init__(self) -> None:
            self.total = sum(self.parts)

    assert came_back(signature_of(Sum), Sum([1, 2])) == Sum([1, 2])
    changed = Sum([1, 2])
    changed.total = 5
    with pytest.raises(InvalidArgumentsError, match="would come back"):
        signature_of(Sum).check({"value": changed})


Either = TypeVar("Either", int, UUID)


class Labels(TypedDict, total=False):
    made: date
    by: UUID


def test_arguments_that_only_the_stars_take_come_back_as_their_annotation_says() -> None:
    def handle(one: int, **rest: UUID) -> None: ...

    signature = Signature("handle", handle)
    given = {"one": 1, "first": UUID(int=1), "second": UUID(int=2)}
    back = signature.revive(orjson.loads(encode(signature.check(given))[0]))
    assert back == given
    with pytest.raises(InvalidArgumentsError, match="first is 'x'"):
        signature.check({"one": 1, "first": "x"})

    def handle_pairs(**rest: tuple[int, UUID]) -> None: ...

    signature = Signature("handle_pairs", handle_pairs)
    pair = {"a": (1, UUID(int=1))}
    assert signature.revive(orjson.loads(encode(signature.check(pair))[0])) == pair

    def refused(**rest: bytes) -> None: ...

    with pytest.raises(OptionError, match="rest"):
        Signature("refused", refused)


def test_arguments_of_unpacked_fields_come_back_as_the_fields_say() -> None:
    def handle(**labels: Unpack[Labels]) -> None: ...

    signature = Signature("handle", handle)
    given = {"made": date(2030, 1, 2), "by": UUID(int=1), "more": 1}
    assert signature.revive(orjson.loads(encode(signature.check(given))[0])) == given
    with pytest.raises(InvalidArgumentsError, match="made is 1"):
        signature.check({"made": 1})


def test_a_decimal_that_reads_as_a_uuid_is_not_taken_where_it_could_be_one() -> None:
    with pytest.raises(InvalidArgumentsError, match="would come back as UUID"):
        signature_of(UUID | Decimal).check({"value": Decimal(10**31)})
    assert came_back(signature_of(UUID | Decimal), Decimal("1.50")) == Decimal("1.50")


def test_a_type_variable_stands_for_the_types_that_it_may_be() -> None:
    assert came_back(signature_of(Either), UUID(int=1)) == UUID(int=1)
    assert came_back(signature_of(Either), 1) == 1


class Numbers(pydantic.BaseModel):
    them: list[int]


def test_of_very_many_faults_their_number_is_told() -> None:
    def add(numbers: Numbers) -> None: ...

    signature = Signature("add", add)
    with pytest.raises(InvalidArgumentsError, match=r"them\.0 Input should be a valid integer"):
        signature.revive({"numbers": {"them": ["x"]}})
    with pytest.raises(InvalidArgumentsError, match=r"numbers is .* add\(\) takes Numbers: 5000 faults$"):
        signature.revive({"numbers": {"them": ["x"] * 5000}})
