"""Sessions: signed, over when their time is, and nobody's own work."""

from __future__ import annotations

import base64

import orjson
import pytest

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.door.sessions import Sessions

SECRET = "s" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_is_read_until_its_time_is_over() -> None:
    clock = Clock()
    sessions = Sessions(SECRET, 60, clock)
    text = sessions.signed("玛丽", "mark")
    clock.now += 59
    session = sessions.read(text)
    assert session is not None
    assert (session.name, session.mark) == ("玛丽", "mark")
    clock.now += 2
    assert sessions.read(text) is None


def test_whoever_has_the_secret_reads_it_and_nobody_else() -> None:
    text = Sessions(SECRET, 60).signed("maria", "")
    assert Sessions(SECRET, 60).read(text) is not None
    assert Sessions("t" * 32, 60).read(text) is None
    assert Sessions(None, 60).read(text) is None
    assert Sessions(None, 60).read(Sessions(None, 60).signed("maria", "")) is None


def test_a_session_that_was_changed_or_made_up_is_none() -> None:
    sessions = Sessions(SECRET, 60)
    body, signature = sessions.signed("maria", "").split(".")
    forged = base64.urlsafe_b64encode(orjson.dumps(["root", "", 9e9])).decode().rstrip("=")
    for text in (
        "",
        ".",
        "a.b.c",
        body,
        f"{body}.",
        f".{signature}",
        f"{forged}.{signature}",
        f"{body}.{signature[:-2]}",
        "é.é",
    ):
        assert sessions.read(text) is None


def test_a_short_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(OptionError, match="shorter") as caught:
        Sessions("hunter2", 60)
    assert "hunter2" not in str(caught.value)
