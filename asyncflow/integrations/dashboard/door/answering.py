"""The headers of every answer: nothing runs in a page but our own script, and no other page holds it in a frame."""

from __future__ import annotations

from collections.abc import Mapping

_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def headers_of(nonce: str) -> Mapping[str, str]:
    """Return the headers of an answer whose own script and style bear the nonce."""
    return {
        "Content-Security-Policy": _POLICY.format(nonce=nonce),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "same-origin",  # with no-referrer browsers would send no Origin either
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
