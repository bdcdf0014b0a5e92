"""Options of the outbox and the inbox: each does something, bad ones are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from asyncflow import Inbox, Outbox
from asyncflow.errors import OptionError, UnknownOptionError


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("prefix", None),
        ("prefix", 5),
        ("schema", 5),
        ("schema", ""),
        ("shard_count", 0),
        ("shard_count", -1),
        ("shard_count", 32_768),
        ("shard_count", True),
        ("shard_count", 64.0),
        ("shard_count", "64"),
        ("max_message_bytes", 0),
        ("max_message_bytes", 2**31),
        ("max_message_bytes", None),
        ("context_row_bytes", -1),
        ("context_row_bytes", 65_001),
        ("hooks", None),
        ("hooks", print),
        ("hooks", [5]),
    ],
)
def test_a_bad_option_of_the_outbox_is_refused_with_name_value_and_remedy(option: str, value: Any) -> None:
    metadata = MetaData()
    with pytest.raises(OptionError, match=rf"^{option} (is|holds) .*; give "):
        Outbox(metadata, **{option: value})


@pytest.mark.parametrize(("option", "value"), [("prefix", None), ("schema", 5)])
def test_a_bad_option_of_the_inbox_is_refused(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=rf"^{option} is .*; give "):
        Inbox(MetaData(), **{option: value})


class Base(DeclarativeBase):
    pass


@pytest.mark.parametrize("room", [Outbox, Inbox])
@pytest.mark.parametrize("metadata", [None, Base, "sqlite://"])
def test_what_is_no_metadata_is_refused_with_the_remedy(room: Any, metadata: Any) -> None:
    with pytest.raises(OptionError, match=r"^metadata is .*; give a MetaData, such as Base.metadata$"):
        room(metadata)


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownOptionError, match=r"Outbox has no option 'shards' \(did you mean 'shard_count'\?\)"):
        Outbox(MetaData(), shards=3)  # type: ignore[arg-type]


def test_an_unknown_option_is_a_type_error_like_any_wrong_keyword() -> None:
    assert issubclass(UnknownOptionError, TypeError)


def test_every_unknown_option_is_told() -> None:
    with pytest.raises(UnknownOptionError, match=r"no option 'shards'.*; no option 'zzz'"):
        Outbox(MetaData(), shards=3, zzz=4)  # type: ignore[arg-type]


def test_prefix_and_schema_name_the_tables() -> None:
    metadata = MetaData()
    outbox = Outbox(metadata, prefix="app_", schema="shop")
    inbox = Inbox(metadata, prefix="app_", schema="shop")
    names = (
        "task",
        "shard",
        "instance",
        "parked_key",
        "job",
        "dedupe",
        "periodic",
        "schedule_cfg",
        "audit",
        "context",
        "turn",
        "chart",
        "unique",
        "inbox",
    )
    assert set(metadata.tables) == {f"shop.app_{name}" for name in names}
    assert {*outbox.tables, inbox.entries} == set(metadata.tables.values())


def test_the_prefix_may_be_empty() -> None:
    assert Outbox(MetaData(), prefix="").tasks.name == "task"


@pytest.mark.parametrize("name", ["a`b", 'a"b', "a'b", "a%b", "a.b", "a b", "a\nb", "a;b"])
@pytest.mark.parametrize("option", ["prefix", "schema"])
def test_a_name_of_tables_that_would_have_to_be_quoted_is_refused(option: str, name: str) -> None:
    given: Any = {option: name}
    with pytest.raises(OptionError, match=f"^{option} is .*give letters, digits"):
        Outbox(MetaData(), **given)
    with pytest.raises(OptionError, match=f"^{option} is "):
        Inbox(MetaData(), **given)
