"""Names and addresses: which lead to this machine alone, and which lie in a network."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from asyncflow.networks import is_loopback, is_within


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.evil.com", "127.0.0.1.evil.com", "0.0.0.0", "10.0.0.1", "evil", "::2"])
def test_names_of_others(host: str) -> None:
    assert not is_loopback(host)


def test_an_address_is_within_its_network_however_it_is_written() -> None:
    networks = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
    assert all(is_within(address, networks) for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"))
    assert not any(is_within(address, networks) for address in ("11.1.2.3", "", "unix", "fe80::1"))
