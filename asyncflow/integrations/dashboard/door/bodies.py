"""Forms: the body of a request, bounded, as fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

from asyncflow.integrations.dashboard.door.refusal import PageRefusedError

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 2000
Fields = Mapping[str, Sequence[str]]


async def fields_of(request: Request, most_bytes: int) -> Fields:
    """Read the fields of a form; raises PageRefusedError for another kind of body, and for one that is too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise PageRefusedError(415, "This page takes forms alone.")
    try:
        body = await _read(request, most_bytes)
    except ClientDisconnect:
        raise PageRefusedError(400, "The form did not come in whole; nothing was done.") from None
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise PageRefusedError(400, "The form cannot be read: it is no UTF-8, or has too many fields.") from None


async def _read(request: Request, most_bytes: int) -> bytes:
    told = request.headers.get("content-length", "0")
    if not told.isdigit() or int(told) > most_bytes:
        raise _too_large(most_bytes)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes)
        parts.append(part)
    return b"".join(parts)


def _too_large(most_bytes: int) -> PageRefusedError:
    return PageRefusedError(413, f"The form is larger than {most_bytes} bytes.")
