"""What a publisher to RocketMQ is told is checked where it is made, and nothing is connected."""

from __future__ import annotations

import socket
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from asyncflow.errors import MissingExtraError, OptionError
from asyncflow.integrations.rocketmq import RocketMQPublisher, RocketMQSettings
from asyncflow.scheduler.publishing.publisher import Record, Unavailable

PROXY = "127.0.0.1:8081"


@pytest.fixture
def client() -> None:
    """Skip what needs the client; to import it by itself would have it open its log file."""
    if find_spec("rocketmq") is None:
        pytest.skip("rocketmq-python-client is not installed")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delivery_timeout_seconds", 0.5),
        ("delivery_timeout_seconds", "10"),
        ("max_message_bytes", 0),
        ("max_message_bytes", 2.5),
        ("unacknowledged", 0),
        ("fifo", "yes"),
        ("namespace", None),
    ],
)
def test_a_setting_at_fault_is_named_with_its_value_and_what_is_taken(name: str, value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        RocketMQSettings(**{name: value})
    assert str(caught.value).startswith((f"{name} is {value!r}; give ", f"{name}={value!r} is refused: give "))


@pytest.mark.parametrize("proxies", ["localhost", "http://localhost:8081", "a:99999", "a b:1", "", [], [None], 8081])
def test_proxies_at_fault_are_told_with_the_remedy(client: None, proxies: Any) -> None:
    with pytest.raises(OptionError, match="give HOST:PORT of a proxy's gRPC"):
        RocketMQPublisher(proxies)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"retries": 3}, "client option retries is refused: there are access_key"),
        ({"access_key": "a"}, "give both, or none"),
        ({"access_key": b"a", "secret_key": "s3cret"}, "client option access_key is a bytes; give a text"),
        ({"tls": "yes"}, "client option tls is refused: give True"),
    ],
)
def test_a_client_option_at_fault_is_refused_without_a_secret(client: None, options: Any, why: str) -> None:
    with pytest.raises(OptionError, match=why) as caught:
        RocketMQPublisher(PROXY, client_options=options)
    assert "s3cret" not in str(caught.value)


def test_a_publisher_tells_what_it_takes(client: None) -> None:
    publisher = RocketMQPublisher(PROXY, RocketMQSettings(max_message_bytes=5000))
    assert (publisher.system, publisher.keeps_key_order, publisher.max_record_bytes) == ("rocketmq", True, 5000)
    assert not RocketMQPublisher(PROXY, RocketMQSettings(fifo=False)).keeps_key_order
    assert publisher.topic_fault("users") is None
    assert publisher.topic_fault("users.new")


def test_nobody_there_and_no_such_host_are_unavailable(client: None) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        for where in (PROXY.replace("8081", str(holder.getsockname()[1])), "no-such-host.invalid:1"):
            publisher = RocketMQPublisher(where, RocketMQSettings(delivery_timeout_seconds=5))
            (outcome,) = publisher.publish([Record("t", None, b"", [])])
            publisher.close()
            assert isinstance(outcome, Unavailable)
            assert where in outcome.error


def test_the_package_imports_without_the_client() -> None:
    program = "import sys, asyncflow.integrations.rocketmq; print({'grpc', 'rocketmq'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_client_opens_no_file_where_it_is_imported(client: None, tmp_path: Any) -> None:
    program = f"from asyncflow.integrations.rocketmq import RocketMQPublisher; RocketMQPublisher({PROXY!r})"
    nowhere = tmp_path / "none"
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={"HOME": str(nowhere), "PYTHONPATH": ":".join(sys.path)}
    )
    assert not nowhere.exists()


def test_a_missing_extra_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(MissingExtraError, match=r'pip install "asyncflow-outbox\[rocketmq\]"') as caught:
        RocketMQPublisher(PROXY)
    assert caught.value.__cause__ is not None
