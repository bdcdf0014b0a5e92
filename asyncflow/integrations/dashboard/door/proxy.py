"""People whom a proxy in front names in a header, having signed them in itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from starlette.requests import Request

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.door.address import address_of
from asyncflow.integrations.dashboard.door.person import Person, Role, role_of
from asyncflow.networks import Network, is_within
from asyncflow.text import shown


class TrustedProxy:
    """Take people from a ``header`` of requests that come from the named ``networks``; from elsewhere it says nothing.

    ``roles`` gives people's roles by their names, ``role_header`` names a second header with a role; who has neither
    gets ``role``. The proxy must remove both headers from what its own clients send. Raises OptionError.
    """

    def __init__(
        self,
        header: str,
        networks: Iterable[str],
        *,
        role: Role | str = Role.VIEWER,
        roles: Mapping[str, Role | str] | None = None,
        role_header: str | None = None,
    ) -> None:
        if not header or not header.isascii() or header.strip() != header:
            raise OptionError("header is empty or no name of a header; give such as X-Forwarded-User")
        self._header = header
        self._networks = networks_of(networks)
        self._role = role_of(role)
        self._roles = {name: role_of(one) for name, one in (roles or {}).items()}
        self._role_header = role_header

    def __call__(self, request: Request) -> Person | None:
        """Return who asks; None for one whom the proxy does not name, and for any that did not come through it."""
        address = address_of(request)
        names = request.headers.getlist(self._header)
        # Two of them: somebody has put one in beside the proxy's own.
        if not is_within(address, self._networks) or len(names) != 1:
            return None
        try:
            return Person(names[0], self._role_of(names[0], request))
        except OptionError:
            return None

    def _role_of(self, name: str, request: Request) -> Role:
        if name in self._roles:
            return self._roles[name]
        told = request.headers.getlist(self._role_header) if self._role_header else []
        return role_of(told[0]) if len(told) == 1 else self._role


def networks_of(given: Iterable[str]) -> tuple[Network, ...]:
    """Return networks by their texts; raises OptionError for what is none, and for nothing at all."""
    texts = [given] if isinstance(given, str) else list(given)
    if not texts:
        raise OptionError("networks is empty; name those of the proxy, such as 10.0.0.5/32")
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise OptionError(f"networks is {shown(texts)}: {error}; give such as 10.0.0.0/8") from None
