"""Names and values of HTTP's header fields: what they can carry, and how texts beyond ASCII go in them."""

from __future__ import annotations

import re
from urllib.parse import quote

ENCODED = "UTF-8''"  # as RFC 8187 begins a value that is percent-encoded UTF-8
CLOUDEVENTS = "ce-"  # whose values are percent-encoded without a mark, as their binding has it
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PLAIN = re.compile(r"([!-~]([ -~]*[!-~])?)?")
# Every printable ASCII character but those that the binding of CloudEvents has encoded: space, " and %.
_KEPT_IN_CLOUDEVENTS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
# What the connection, or the publisher itself, decides on.
RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "message-key",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)


def fault_of_name(name: object) -> str | None:
    """Return why no header of ours has this name, or None."""
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        return "HTTP has names of letters, digits and a few signs, without spaces"
    return "the publisher or the connection decides on it" if name.lower() in RESERVED else None


def is_plain(text: str) -> bool:
    """Tell whether HTTP carries the text as it is: printable ASCII, without spaces around it."""
    return bool(_PLAIN.fullmatch(text))


def field_of(name: str, value: bytes) -> str:
    """Return a value as its header carries it: plain text as it is, everything else as RFC 8187 has it."""
    if name.lower().startswith(CLOUDEVENTS):
        return quote(value, safe=_KEPT_IN_CLOUDEVENTS)
    text = value.decode("latin-1")
    return text if is_plain(text) and not text.startswith(ENCODED) else ENCODED + quote(value, safe="")
