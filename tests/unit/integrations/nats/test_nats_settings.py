"""What a publisher to NATS is told is checked where it is made, and nothing is connected."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest

from asyncflow.errors import MissingExtraError, OptionError
from asyncflow.integrations.nats import NatsPublisher, NatsSettings
from asyncflow.scheduler.publishing.publisher import Record, Unavailable

nats = pytest.importorskip("nats")

URL = "nats://user:s3cret@127.0.0.1:4222"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delivery_timeout_seconds", 0.5),
        ("delivery_timeout_seconds", "10"),
        ("delivery_timeout_seconds", True),
        ("max_message_bytes", 0),
        ("max_message_bytes", 2.5),
        ("connection_name", ""),
        ("api_prefix", "$JS.API."),
        ("api_prefix", None),
    ],
)
def test_a_setting_at_fault_is_named_with_its_value_and_what_is_taken(name: str, value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        NatsSettings(**{name: value})
    assert str(caught.value).startswith((f"{name} is {value!r}; give ", f"{name}={value!r} is refused: give "))


@pytest.mark.parametrize(
    "servers",
    ["localhost:4222", "http://localhost", "ws://localhost", "nats://", "nats://u:s3cret@host:port", 4222, [], [None]],
)
def test_servers_at_fault_are_told_with_the_remedy_and_without_a_password(servers: Any) -> None:
    with pytest.raises(OptionError, match="nats://USER:PASSWORD@HOST:PORT") as caught:
        NatsPublisher(servers)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["allow_reconnect", "error_cb", "connect_timeout", "name", "servers", "no_such", "self"]
)
def test_a_client_option_that_would_break_a_promise_or_is_unknown_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"^client option {name} is refused: "):
        NatsPublisher(URL, client_options={name: "s3cret"})


@pytest.mark.parametrize("name", ["user_credentials", "nkeys_seed", "nkeys_seed_str"])
def test_a_key_needs_the_library_that_signs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nkeys", None)
    with pytest.raises(MissingExtraError, match=f'client option {name} needs .* pip install "nats-py') as caught:
        NatsPublisher(URL, client_options={name: "SUs3cret"})
    assert "s3cret" not in str(caught.value)


def test_a_stream_is_a_configuration_of_nats_py_with_name_and_subjects() -> None:
    config = nats.js.api.StreamConfig
    NatsPublisher(URL, NatsSettings(stream=config(name="orders", subjects=["orders.>"])))
    for stream in ({"name": "orders"}, config(name="orders"), config(subjects=["a"]), "orders"):
        with pytest.raises(OptionError, match=r"give a nats\.js\.api\.StreamConfig with name and subjects"):
            NatsPublisher(URL, NatsSettings(stream=stream))


def test_a_publisher_tells_what_it_takes() -> None:
    publisher = NatsPublisher(URL, NatsSettings(max_message_bytes=5000))
    assert (publisher.system, publisher.keeps_key_order, publisher.max_record_bytes) == ("nats", True, 5000)
    assert publisher.topic_fault("users.new") is None
    assert publisher.topic_fault("users.*") == "* and > are wildcards, for those who listen"


def test_nobody_there_and_no_such_host_are_unavailable() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        for where in (f"127.0.0.1:{holder.getsockname()[1]}", "no-such-host.invalid"):
            publisher = NatsPublisher(f"nats://u:s3cret@{where}", NatsSettings(delivery_timeout_seconds=5))
            (outcome,) = publisher.publish([Record("t", None, b"", [])])
            publisher.close()
            assert isinstance(outcome, Unavailable)
            assert outcome.error
            assert "s3cret" not in outcome.error


def test_the_package_imports_without_the_client() -> None:
    program = "import sys, asyncflow.integrations.nats; print('nats' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_missing_extra_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(MissingExtraError, match=r'pip install "asyncflow-outbox\[nats\]"') as caught:
        NatsPublisher(URL)
    assert caught.value.__cause__ is not None
