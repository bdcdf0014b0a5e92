"""Where a request comes from: what changes anything must come from a page of this very host."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

from asyncflow.integrations.dashboard.door.address import address_of
from asyncflow.integrations.dashboard.door.refusal import PageRefusedError
from asyncflow.networks import is_loopback

_SAFE = ("GET", "HEAD")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def require_own_page(request: Request) -> None:
    """Raise PageRefusedError for what changes anything and was not sent by a page of this host.

    Browsers tell it in ``Sec-Fetch-Site``, and in ``Origin`` where they do not encrypt; who sends neither is no page.
    """
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        raise PageRefusedError(403, "This was sent by a page of another site.")
    if origin is not None and not _is_own(origin, request):
        raise PageRefusedError(403, "This was sent by a page of another host.")
    if site is None and origin is None:
        raise PageRefusedError(403, "This was sent by no page of the dashboard: Sec-Fetch-Site and Origin are missing.")


def _is_own(origin: str, request: Request) -> bool:
    host = request.headers.get("host", "")
    return bool(host) and origin.partition("://")[2].lower() == host.lower()


def require_this_machine(request: Request) -> None:
    """Raise PageRefusedError unless a request was sent on this machine, to a name of this machine, and by no proxy.

    A page elsewhere whose name leads to 127.0.0.1 (DNS rebinding) names itself as Host. A proxy on this machine sends
    what comes from anywhere.
    """
    address = address_of(request)
    if not is_loopback(address) or not _names_this_machine(request) or any(map(request.headers.get, _FORWARDED)):
        raise PageRefusedError(403, CLOSED)


def _names_this_machine(request: Request) -> bool:
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return False
    return is_loopback(host)


CLOSED = "No users are configured, so the dashboard answers this machine alone. Configure users to open it."
