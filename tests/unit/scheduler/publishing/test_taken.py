"""What a destination does not take, no scheduler of it starts with."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox, Scheduler
from asyncflow.errors import OptionError
from asyncflow.events import Hooks
from asyncflow.outbox.message import MAX_MESSAGE_BYTES
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.publishing.taken import require_taken
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.testing import MemoryPublisher


class Choosy(MemoryPublisher):
    """Take topics in capitals alone, small records, and no order."""

    max_record_bytes = 5_000
    keeps_key_order = False

    def topic_fault(self, topic: str) -> str | None:
        return None if topic.isupper() else "it is not in capitals"


def an_outbox(**options: Any) -> Outbox:
    outbox = Outbox(MetaData(), max_message_bytes=1_000)
    outbox.message("coupon", **{"topic": "COUPONS", **options})
    return outbox


def test_what_a_publisher_takes_passes() -> None:
    require_taken(an_outbox(), {"kafka": Choosy()})


def test_a_publisher_that_tells_nothing_takes_all() -> None:
    require_taken(an_outbox(topic="a b/ç", ordered=True), {"kafka": MemoryPublisher()})


@pytest.mark.parametrize("begin", ["start", "drain"])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"topic": "coupons"},
            "topic of 'coupon' is 'coupons', and the publisher of 'kafka' takes none such: it is not in capitals; give "
            "another one: outbox.message('coupon', topic=...)",
        ),
        (
            {"ordered": True},
            "ordered of 'coupon' is True, and the publisher of 'kafka' does not keep the order of a key; leave it out",
        ),
    ],
)
def test_a_declaration_beyond_what_the_publisher_takes_is_refused_before_anything_is_sent(
    begin: str, options: dict[str, Any], text: str
) -> None:
    scheduler = Scheduler(create_engine("sqlite://"), an_outbox(**options), {"kafka": Choosy()})
    with pytest.raises(OptionError, match=f"^{re.escape(text)}"):
        getattr(scheduler, begin)()
    scheduler.stop()


def test_messages_larger_than_the_publisher_takes_are_refused() -> None:
    outbox = Outbox(MetaData())
    outbox.message("COUPON")
    with pytest.raises(OptionError, match=rf"^max_message_bytes is {MAX_MESSAGE_BYTES}, .*\(max_message_bytes=2952\)"):
        require_taken(outbox, {"kafka": Choosy()})


def test_each_type_is_held_against_its_own_destination() -> None:
    outbox = an_outbox()
    outbox.message("points", destination="memory", topic="points", ordered=True)
    require_taken(outbox, {"kafka": Choosy(), "memory": MemoryPublisher()})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("topic_fault", "a-z"),
        ("topic_fault", True),
        ("max_record_bytes", 0),
        ("max_record_bytes", True),
        ("max_record_bytes", "1 MB"),
        ("records_at_once", 0),
        ("keeps_key_order", None),
        ("keeps_key_order", "yes"),
    ],
)
def test_a_publisher_that_tells_it_in_a_wrong_way_is_refused(name: str, value: Any) -> None:
    publisher = MemoryPublisher()
    setattr(publisher, name, value)
    with pytest.raises(OptionError, match=rf"^{name} of the publisher of 'kafka' is .*; give "):
        require_taken(an_outbox(), {"kafka": publisher})


@pytest.mark.parametrize(("wanted", "rows"), [(None, 2000), (10, 10), (5000, 2000), (0, 1)])
def test_a_round_has_no_more_rows_than_the_publisher_wants_at_once(wanted: int | None, rows: int) -> None:
    class Slow(MemoryPublisher):
        records_at_once = wanted

    settings = SchedulerSettings()
    route = Route("slow", Slow(), Breakers("slow", settings, Hooks([])))
    assert route.takes(settings.round_size) == rows
    assert Route("any", MemoryPublisher(), route.breakers).takes(7) == 7
