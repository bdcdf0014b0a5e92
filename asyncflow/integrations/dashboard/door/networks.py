"""Addresses of clients: this machine's, and those of named networks."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from asyncflow.errors import OptionError
from asyncflow.text import shown

Network = IPv4Network | IPv6Network


def networks_of(given: Iterable[str]) -> tuple[Network, ...]:
    """Return networks by their texts; raises OptionError for what is none, and for nothing at all."""
    texts = [given] if isinstance(given, str) else list(given)
    if not texts:
        raise OptionError("networks is empty; name those of the proxy, such as 10.0.0.5/32")
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise OptionError(f"networks is {shown(texts)}: {error}; give such as 10.0.0.0/8") from None


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Tell whether an address is one of these networks', also an IPv4 one that is written as IPv6."""
    found = _address(address)
    return found is not None and any(found.version == one.version and found in one for one in networks)


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address leads to this machine alone."""
    host = host.removeprefix("[").removesuffix("]")
    if host.rstrip(".").lower() == "localhost":
        return True
    found = _address(host)
    return found is not None and found.is_loopback


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
