"""The task types that a service knows: what it costs to ask for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from itertools import count

from asyncflow.integrations.flowsvr.catalogue import Catalogue
from asyncflow.outbox.declarations.handler_type import HandlerType
from tests.unit.scheduler.waiting import eventually

MAIL, SMS = HandlerType(name="mail"), HandlerType(name="sms")


def test_of_many_that_find_the_types_old_one_reads_them() -> None:
    reading, may_go_on, reads = threading.Event(), threading.Event(), []

    def load() -> Mapping[str, HandlerType]:
        reads.append(1)
        reading.set()
        assert may_go_on.wait(60)
        return {"mail": MAIL}

    known = Catalogue(load, lambda _: None, 60.0)
    asking = [threading.Thread(target=known.refresh_if_stale) for _ in range(8)]
    for one in asking:
        one.start()
    assert reading.wait(60)
    may_go_on.set()
    for one in asking:
        one.join(60)
    assert len(reads) == 1
    assert list(known) == ["mail"]


def test_a_read_that_begins_after_several_have_asked_is_for_all_of_them() -> None:
    reads: list[int] = []
    others: list[threading.Thread] = []

    def load() -> Mapping[str, HandlerType]:
        reads.append(1)
        if len(reads) == 1:  # who asks while it reads wants what is there by then
            others.extend(threading.Thread(target=known.refresh) for _ in range(8))
            for one in others:
                one.start()
            eventually(lambda: clock.asked == 1 + 8)
        return {"mail": MAIL}

    clock = Clock()
    known = Catalogue(load, lambda _: None, 60.0, clock)
    known.refresh()
    for one in others:
        one.join(60)
    assert len(reads) == 2


class Clock:
    """Tell a later time each time, and count who asked before the second read began."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.asked = 0

    def __call__(self) -> float:
        number = next(self._numbers)
        self.asked = number - 1  # without the first read's own look
        return float(number)


def test_an_unknown_name_is_looked_for_by_itself() -> None:
    reads: list[int] = []

    def load() -> Mapping[str, HandlerType]:
        reads.append(1)
        return {"mail": MAIL}

    known = Catalogue(load, {"sms": SMS}.get, 60.0)
    known.refresh()
    known.look_for("fax")
    assert "fax" not in known
    known.look_for("sms")
    assert known["sms"] is SMS
    assert known["mail"] is MAIL
    assert len(reads) == 1
