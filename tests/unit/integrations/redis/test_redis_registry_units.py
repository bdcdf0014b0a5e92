"""What a registry in Redis is told is checked where it is made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asyncflow.errors import OptionError
from asyncflow.integrations.redis import RedisRegistry
from asyncflow.integrations.redis.server import RedisServer

redis = pytest.importorskip("redis")

URL = "redis://user:s3cret@host/0"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("url", "http://host"),
        ("url", None),
        ("namespace", ""),
        ("namespace", None),
        ("session_timeout_seconds", 0.5),
        ("session_timeout_seconds", 301),
        ("session_timeout_seconds", True),
        ("session_timeout_seconds", "4"),
    ],
)
def test_what_leads_nowhere_is_refused_by_its_name(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=option):
        RedisRegistry(**{"url": URL, option: value})


@pytest.mark.parametrize("name", ["retry", "decode_responses", "socket_timeout", "max_connections", "no_such_option"])
def test_a_client_option_that_would_break_a_promise_or_is_unknown_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        RedisRegistry(URL, client_options={name: 1})


def test_the_time_out_of_the_client_is_said_by_the_session_s() -> None:
    with pytest.raises(OptionError, match="use session_timeout_seconds"):
        RedisRegistry(URL, client_options={"socket_timeout": 1})


def test_a_heart_that_beats_too_rarely_for_the_session_is_refused() -> None:
    rhythm = SimpleNamespace(heartbeat_seconds=0.8, clock=float)
    database: Any = SimpleNamespace(rhythm=rhythm, instance="a")
    with pytest.raises(
        OptionError, match=r"heartbeat_seconds is 0\.8; give at most a quarter of session_timeout_seconds"
    ):
        RedisRegistry(URL, session_timeout_seconds=3.0).make(database)


def test_a_password_is_not_shown() -> None:
    assert "s3cret" not in repr(RedisRegistry(URL, client_options={"password": "s3cret"}))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (URL, "host:6379"),
        ("rediss://:s3cret@host:7000/1", "host:7000"),
        ("unix://user:s3cret@/run/redis.sock?db=1", "/run/redis.sock"),
    ],
)
def test_a_place_is_told_without_who_logs_in(url: str, place: str) -> None:
    assert RedisServer(redis, url, 1.0, {}).place == place
