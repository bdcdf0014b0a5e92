"""Callers that are known by where they ask from: the original's clients, which know no tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from asyncflow.errors import OptionError
from asyncflow.networks import Network, address_in, is_loopback

# What a browser tells of the page that asks, and a proxy of whom it asks for: then the address is not the caller's.
_OF_OTHERS = ("origin", "sec-fetch-site", "referer", "forwarded", "via", "x-forwarded-for", "x-real-ip")


def networks_of(given: Any, name: str) -> tuple[Network, ...]:
    """Return the networks that a token names; raises OptionError."""
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise OptionError(
            f'networks of the token {name!r} is no list of addresses; give such as ["127.0.0.1", "10.1.0.0/16"]'
        )
    return tuple(
        _network(one, f"item {number} of networks of the token {name!r}") for number, one in enumerate(given, 1)
    )


def _network(text: str, where: str) -> Network:
    """Read one; tells its place alone, for what stands there by mistake may be a secret."""
    try:
        network = ip_network(text)
    except ValueError:
        raise OptionError(
            f"{where} is no network; give an address, or such as 10.1.0.0/16, with no bit set behind the prefix"
        ) from None
    if network.prefixlen == 0:
        raise OptionError(f"{where} is everybody; name the networks of your workers")
    return network


def hosts_of(given: Any, name: str) -> tuple[str, ...]:
    """Return the names under which a token's callers ask; raises OptionError."""
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, str) and one for one in given):
        raise OptionError(f'hosts of the token {name!r} is no list of names; give such as ["flowsvr.example.org"]')
    return tuple(one.lower() for one in given)


def overlap(one: Iterable[Network], others: Iterable[Network]) -> bool:
    """Tell whether an address is in both."""
    others = tuple(others)
    return any(a.version == b.version and a.overlaps(b) for a in one for b in others)


def is_of_its_own(headers: Headers | Mapping[str, str], hosts: Iterable[str]) -> bool:
    """Tell whether the one who sent the headers asks for itself, as a program does.

    A page of any web site asks from the address of whoever looks at it, and once its own name leads here (DNS
    rebinding) it names that as ``Host``: a name with a dot, which is not among the ``hosts``.
    """
    if any(name in headers for name in _OF_OTHERS):
        return False
    try:
        host = (urlsplit(f"//{headers.get('host', '')}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return bool(host) and ("." not in host or is_loopback(host) or address_in(host) is not None or host in hosts)
