"""How events are declared: for an outbox or a type, and refused at the door where the specification refuses it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import CloudEvents, Outbox
from asyncflow.errors import OptionError, PayloadTooLargeError

EVENTS = CloudEvents(source="/shop")


def test_a_type_travels_as_its_outbox_has_it_unless_it_says_otherwise() -> None:
    other = CloudEvents(source="/other", mode="structured")
    outbox = Outbox(MetaData(), cloudevents=EVENTS)
    declared = [outbox.message("a"), outbox.message("b", cloudevents=other), outbox.message("c", cloudevents=None)]
    assert [one.cloudevents for one in declared] == [EVENTS, other, None]
    assert Outbox(MetaData()).message("a").cloudevents is None


@pytest.mark.parametrize(
    "options",
    [
        {"source": ""},
        {"source": "a b"},
        {"source": "é"},
        {"source": None},
        {"source": "x" * 256},
        {"mode": "batch"},
        {"type_prefix": 7},
        {"type_prefix": "a\n"},
        {"dataschema": "schema.json"},
        {"dataschema": ""},
        {"dataschema": "http://[bad"},
        {"extensions": ["tenant"]},
        {"extensions": {"tenant-id": "a"}},
        {"extensions": {"Tenant": "a"}},
        {"extensions": {"a" * 21: "a"}},
        {"extensions": {"": "a"}},
        {"extensions": {"subject": "a"}},
        {"extensions": {"data": "a"}},
        {"extensions": {"tenant": ""}},
        {"extensions": {"tenant": 7}},
        {"extensions": {"tenant": "a\x00"}},
        {"extensions": {"tenant": "\ud800"}},
        {"extension_headers": "tenant"},
        {"extension_headers": ["x-tenant"]},
        {"extension_headers": ["time"]},
        {"extension_headers": ["tenant", "tenant"]},
        {"extensions": {"tenant": "a"}, "extension_headers": ["tenant"]},
    ],
)
def test_what_the_specification_refuses_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError) as caught:
        CloudEvents(**{"source": "/shop", **options})
    assert any(name[:9] in str(caught.value) for name in options)


@pytest.mark.parametrize("given", ["/shop", True, {"source": "/shop"}])
def test_what_is_no_declaration_of_events_is_refused(given: Any) -> None:
    with pytest.raises(OptionError, match=r"cloudevents is .*; give CloudEvents\(source=...\), or None"):
        Outbox(MetaData(), cloudevents=given)
    with pytest.raises(OptionError, match="cloudevents is"):
        Outbox(MetaData()).message("a", cloudevents=given)


@pytest.mark.parametrize(
    ("events", "content_type", "limit", "fits", "too_large"),
    [
        (None, "application/json", 1000, 1000, 1001),
        (CloudEvents(source="/shop"), "application/json", 1000, 500, 950),
        (CloudEvents(source="/shop", mode="structured"), "application/avro", 1000, 400, 650),
        (CloudEvents(source="/shop", extensions={"tenant": "x" * 400}), "application/json", 2000, 600, 800),
    ],
)
def test_what_an_event_adds_counts_at_the_door(
    events: CloudEvents | None, content_type: str, limit: int, fits: int, too_large: int
) -> None:
    metadata = MetaData()
    outbox = Outbox(metadata, max_message_bytes=limit, cloudevents=events)
    outbox.message("a")
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        outbox.publish(connection, "a", b"x" * fits, content_type=content_type)
        with pytest.raises(PayloadTooLargeError):
            outbox.publish(connection, "a", b"x" * too_large, content_type=content_type)
    engine.dispose()
