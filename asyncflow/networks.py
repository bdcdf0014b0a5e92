"""Networks: which names and addresses lead to this machine alone, and which addresses lie in a named network."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def is_loopback(host: str) -> bool:
    """Tell whether a name or address leads to this machine alone; a name that only begins like one does not."""
    host = host.removeprefix("[").removesuffix("]")
    if host.rstrip(".").lower() == "localhost":
        return True
    found = address_in(host)
    return found is not None and found.is_loopback


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Tell whether an address is one of the networks'; what is no address is in none."""
    found = address_in(address)
    return found is not None and any(found in network for network in networks)


def address_in(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is, None if it is none; one of IPv4 also where it is written as IPv6."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
