"""What a publisher to RabbitMQ is told is checked where it is made, and nothing is connected."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest

from asyncflow.errors import MissingExtraError, OptionError
from asyncflow.integrations.rabbitmq import RabbitMQPublisher, RabbitMQSettings
from asyncflow.scheduler.publishing.publisher import Record, Unavailable

pika = pytest.importorskip("pika")

URL = "amqp://user:s3cret@127.0.0.1:5672/%2F"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exchange", "x" * 256),
        ("exchange", 1),
        ("connection_name", ""),
        ("delivery_timeout_seconds", 0.5),
        ("delivery_timeout_seconds", "10"),
        ("delivery_timeout_seconds", True),
        ("heartbeat_seconds", 1),
        ("heartbeat_seconds", 2.5),
        ("max_message_bytes", 0),
    ],
)
def test_a_setting_at_fault_is_named_with_its_value_and_what_is_taken(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^{name}(={value!r} is refused:| is {value!r};) give "):
        RabbitMQSettings(**{name: value})


@pytest.mark.parametrize(
    "servers",
    [
        "localhost:5672",
        "http://localhost",
        "amqp://",
        "amqp://u:s3cret@host:port/",
        URL + "?heartbet=5",
        5672,
        [],
        [None],
    ],
)
def test_servers_at_fault_are_told_with_the_remedy_and_without_a_password(servers: Any) -> None:
    with pytest.raises(OptionError, match="amqp://USER:PASSWORD@HOST:PORT/VHOST") as caught:
        RabbitMQPublisher(servers)
    assert "s3cret" not in str(caught.value)


def test_every_wait_of_the_client_has_a_limit_whatever_the_servers_say() -> None:
    given = pika.ConnectionParameters("host", heartbeat=30, socket_timeout=None, stack_timeout=None)
    publisher = RabbitMQPublisher([URL, given], RabbitMQSettings(delivery_timeout_seconds=7, connection_name="orders"))
    first, second = publisher._parameters
    for one in (first, second):
        assert (one.socket_timeout, one.stack_timeout, one.blocked_connection_timeout) == (7, 7, 7)
        assert one.client_properties["connection_name"] == "orders"
    assert (first.heartbeat, second.heartbeat) == (60, 30)
    assert given.socket_timeout is None
    assert (first.host, first.credentials.username) == ("127.0.0.1", "user")


def test_tls_comes_with_the_url_or_with_parameters() -> None:
    assert RabbitMQPublisher("amqps://host/")._parameters[0].ssl_options is not None
    assert RabbitMQPublisher("amqp://host/")._parameters[0].ssl_options is None


def test_a_publisher_tells_what_it_takes() -> None:
    publisher = RabbitMQPublisher(URL, RabbitMQSettings(max_message_bytes=5000))
    assert (publisher.system, publisher.keeps_key_order, publisher.max_record_bytes) == ("rabbitmq", True, 5000)
    assert publisher.topic_fault("users") is None
    assert publisher.topic_fault("é" * 128) == "it has 256 bytes; AMQP takes 255"


def test_nobody_there_and_no_such_host_are_unavailable() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        for where in (f"127.0.0.1:{holder.getsockname()[1]}", "no-such-host.invalid"):
            publisher = RabbitMQPublisher(f"amqp://{where}/", RabbitMQSettings(delivery_timeout_seconds=5))
            (outcome,) = publisher.publish([Record("t", None, b"", [])])
            publisher.close()
            assert isinstance(outcome, Unavailable)
            assert outcome.error


def test_the_package_imports_without_the_client() -> None:
    program = "import sys, asyncflow.integrations.rabbitmq; print('pika' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_missing_extra_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pika", None)
    with pytest.raises(MissingExtraError, match=r'pip install "asyncflow-outbox\[rabbitmq\]"') as caught:
        RabbitMQPublisher(URL)
    assert caught.value.__cause__ is not None
