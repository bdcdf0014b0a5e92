"""What a registry in etcd is told is checked where it is made."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from asyncflow.errors import MissingExtraError, OptionError, UnknownOptionError
from asyncflow.integrations.etcd import EtcdRegistry

URL = "http://etcd:2379"


@pytest.fixture(autouse=True)
def with_the_client() -> None:
    pytest.importorskip("etcd3gw")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("urls", ""),
        ("urls", None),
        ("urls", "etcd:2379"),
        ("urls", "https://[::1"),
        ("urls", "http://etcd:2379,ftp://etcd"),
        ("urls", "http://etcd:port"),
        ("urls", "http://user:s3cret@etcd"),
        ("urls", "http://etcd/v3"),
        ("namespace", ""),
        ("namespace", "/rooted"),
        ("namespace", None),
        ("session_timeout_seconds", 3),
        ("session_timeout_seconds", 301),
        ("session_timeout_seconds", True),
    ],
)
def test_what_leads_nowhere_is_refused_by_its_name(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=option) as caught:
        EtcdRegistry(**{"urls": URL, option: value})
    assert "s3cret" not in str(caught.value)


def test_an_option_of_the_client_that_is_none_is_refused_with_the_nearest_and_half_a_pair_by_its_other_half() -> None:
    with pytest.raises(UnknownOptionError, match="ca_cert"):
        EtcdRegistry(URL, client_options={"ca_certs": "ca.pem"})
    with pytest.raises(OptionError, match="give both"):
        EtcdRegistry(URL, client_options={"cert_cert": "own.pem"})


def test_a_heart_that_beats_too_rarely_for_the_session_is_refused() -> None:
    rhythm = SimpleNamespace(heartbeat_seconds=0.8, clock=float)
    database: Any = SimpleNamespace(rhythm=rhythm, instance="a")
    with pytest.raises(OptionError, match=r"heartbeat_seconds is 0\.8; give at most 0\.75, .* session_timeout_seconds"):
        EtcdRegistry(URL, session_timeout_seconds=5.0).make(database)
    EtcdRegistry(URL).make(database)


def test_the_package_imports_without_the_client() -> None:
    program = "import sys, asyncflow.integrations.etcd; print({'etcd3gw', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_extra_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "etcd3gw", None)
    with pytest.raises(MissingExtraError, match=r'pip install "asyncflow-outbox\[etcd\]"'):
        EtcdRegistry(URL)
