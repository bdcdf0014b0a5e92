"""What a publisher to a search index is told beside its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.outbox.options import require_seconds, require_whole
from asyncflow.text import a_type_of, shown

MIN_TIMEOUT_SECONDS = 0.1
MAX_TIMEOUT_SECONDS = 300.0
OF_EACH_REQUEST = frozenset({"content-type", "content-length", "host", "transfer-encoding"})


@dataclass(frozen=True, kw_only=True)
class OpenSearchSettings:
    """Configure a publisher.

    ``connect_timeout_seconds`` bounds the way to the server, TLS included, ``read_timeout_seconds`` the wait for the
    answer to a bulk, ``delivery_timeout_seconds`` one ``publish`` as a whole. ``max_bulk_bytes`` is how large a request
    becomes, and the largest document.

    ``version_field`` is the field of each document that tells which of two with one id is the newer one: a time as
    RFC 3339 has it, or a whole number; the older one changes nothing. None: the one that comes last stays.
    ``templates`` are index templates by name, which the first connection puts there. ``headers`` go with each request,
    such as Authorization; they are told nowhere.
    """

    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0
    delivery_timeout_seconds: float = 60.0
    max_bulk_bytes: int = 5 * 1024 * 1024
    version_field: str | None = "settled_at"
    templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no client could use."""
        for name in ("connect_timeout_seconds", "read_timeout_seconds", "delivery_timeout_seconds"):
            require_seconds(name, getattr(self, name), MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS)
        require_whole("max_bulk_bytes", self.max_bulk_bytes, 1024, 100 * 1024 * 1024)
        if self.version_field is not None and not (isinstance(self.version_field, str) and self.version_field):
            raise OptionError(
                f"version_field={shown(self.version_field)} is refused: give the name of a field of documents, or None"
            )
        if not isinstance(self.templates, Mapping):
            raise OptionError(f"templates is {a_type_of(self.templates)}; give a mapping of names to index templates")
        for name, template in self.templates.items():
            if not isinstance(name, str) or not name or not isinstance(template, Mapping):
                raise OptionError(
                    f"templates[{shown(name)}] is {a_type_of(template)}; give an index template by its name, such as "
                    f"outcome_template('outcomes')"
                )
        _require_headers(self.headers)


def _require_headers(headers: object) -> None:
    """Refuse what no request can carry; no value is shown, for it may be a secret."""
    if not isinstance(headers, Mapping):
        raise OptionError(f"headers is {a_type_of(headers)}; give a mapping of text to text")
    for name, value in headers.items():
        if not isinstance(name, str) or not _is_plain(name) or name.lower() in OF_EACH_REQUEST:
            raise OptionError(f"the header {shown(name)} in headers is refused: each request has its own, or none")
        if not isinstance(value, str) or not _is_plain(value):
            raise OptionError(f"the header {name!r} in headers has a value that HTTP does not carry; give plain ASCII")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip() and text != ""
