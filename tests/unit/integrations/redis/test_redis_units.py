"""What a publisher to Redis is told is checked where it is made; what is answered is judged by its first word."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from asyncflow.errors import MissingExtraError, OptionError
from asyncflow.integrations.redis import RedisPublisher, RedisSettings
from asyncflow.integrations.redis.entries import Entries
from asyncflow.integrations.redis.outcomes import judge
from asyncflow.integrations.redis.server import RedisServer
from asyncflow.scheduler.publishing.publisher import Record, Rejected, Retry, Unavailable

redis = pytest.importorskip("redis")

URL = "redis://user:s3cret@127.0.0.1:6379/0"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delivery_timeout_seconds", 0.5),
        ("delivery_timeout_seconds", "10"),
        ("streams_per_topic", 0),
        ("streams_per_topic", 2.0),
        ("wait_replicas", -1),
        ("max_message_bytes", True),
        ("creates_streams", "no"),
        ("wait_disk", 1),
    ],
)
def test_a_setting_at_fault_is_named_with_its_value_and_what_is_taken(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^{name}(={value!r} is refused:| is {value!r};) give "):
        RedisSettings(**{name: value})


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://localhost",
        "redis://u:s3cret@host:port/",
        "redis://u:s3cret@[::1",
        "redis://u:s3cret@host:6379/orders",
        "redis://u:s3cret@host:6379/-1",
        None,
    ],
)
def test_a_url_at_fault_is_refused_without_its_password(url: Any) -> None:
    with pytest.raises(OptionError, match="url") as caught:
        RedisPublisher(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["retry", "decode_responses", "socket_timeout", "max_connections", "no_such_option"])
def test_a_client_option_that_would_break_a_promise_or_is_unknown_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        RedisPublisher(URL, client_options={name: 1})


def test_a_client_option_reaches_the_client() -> None:
    server = RedisServer(redis, URL, 10.0, {"client_name": "orders"})
    client = server.client(connections=1)
    assert client.connection_pool.connection_kwargs["client_name"] == "orders"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), Unavailable),
        (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), Unavailable),
        (redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"), Unavailable),
        (redis.exceptions.NoPermissionError("User u has no permissions"), Rejected),
        (redis.exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), Rejected),
        (redis.exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), Unavailable),
        (redis.exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), Unavailable),
        (redis.exceptions.ResponseError("MOVED 866 127.0.0.1:7000"), Unavailable),
        (redis.exceptions.AuthenticationError("invalid username-password pair"), Unavailable),
        (redis.exceptions.ResponseError("ERR something new"), Retry),
    ],
)
def test_an_answer_is_judged_by_its_first_word(error: Exception, kind: type) -> None:
    assert isinstance(judge(error), kind)


def test_a_key_has_one_stream() -> None:
    entries = Entries(RedisSettings(streams_per_topic=8))
    streams = {number: entries.stream_of(Record("t", b"k%d" % number, b"", [])) for number in range(100)}
    assert set(streams.values()) == {f"t:{number}" for number in range(8)}
    assert streams[5] == entries.stream_of(Record("t", b"k5", b"other", []))
    assert Entries(RedisSettings()).stream_of(Record("t", b"k", b"", [])) == "t"


def test_the_package_imports_without_the_client() -> None:
    program = "import sys, asyncflow.integrations.redis; print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_missing_extra_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtraError, match=r'pip install "asyncflow-outbox\[redis\]"'):
        RedisPublisher(URL)
