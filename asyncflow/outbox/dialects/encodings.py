"""Which texts survive PostgreSQL's encodings."""

from __future__ import annotations

import codecs

_UTF8, _ANY = "UTF8", "SQL_ASCII"
_PYTHON_NAMES = {"WIN": "windows-", "LATIN": "latin", "ISO_8859_": "iso8859-", "KOI8": "koi8-"}


def is_carried(text: str, *, server: str, client: str) -> bool:
    """Tell whether ``text`` can be sent in the client's encoding and kept in the server's.

    A server of SQL_ASCII keeps bytes as they come, which clients of two encodings read as two texts; a client of
    SQL_ASCII reads bytes in place of text.
    """
    if _ANY in (server, client):
        return client == _UTF8
    return _holds(client, text) and _holds(server, text)


def _holds(encoding: str, text: str) -> bool:
    if encoding == _UTF8:
        return True
    for prefix, python in _PYTHON_NAMES.items():
        if encoding.startswith(prefix):
            return _encodes(python + encoding.removeprefix(prefix).lower(), text)
    return False  # one that Python may convert in another way than PostgreSQL


def _encodes(codec: str, text: str) -> bool:
    try:
        codecs.lookup(codec)
        text.encode(codec)
    except (LookupError, UnicodeEncodeError):
        return False
    return True
