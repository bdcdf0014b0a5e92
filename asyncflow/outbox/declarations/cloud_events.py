"""How messages travel as CloudEvents 1.0."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import urlsplit

from asyncflow.errors import OptionError
from asyncflow.text import shown

EventMode = Literal["binary", "structured"]
CORE_ATTRIBUTES = frozenset(
    {
        "data",
        "data_base64",
        "datacontenttype",
        "dataschema",
        "id",
        "source",
        "specversion",
        "subject",
        "time",
        "type",
    }
)
MOST_SOURCE_CHARACTERS = 255
MOST_EXTENSION_CHARACTERS = 1000
_CORE_COUNT = 8  # attributes that an event may have without extensions
_NAME_BYTES = 44  # of the longest name: a prefix, what JSON puts around it
_ID_AND_TIME = 64
SPARE_BYTES = 400  # of a record's overhead, for headers that hooks add
_NAME = re.compile(r"[a-z0-9]{1,20}")
# What the type String of the specification excludes: controls, non-characters, halves of surrogate pairs.
_NO_STRING = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_URI = re.compile(r"[!-~]+")


@dataclass(frozen=True, kw_only=True)
class CloudEvents:
    """Let messages travel as CloudEvents 1.0; given to an Outbox, or to one message type. Raises OptionError.

    ``source`` names whose events they are, a URI or a part of one; an event is known by it and its id, which is the
    task's. ``mode`` is ``binary``, the payload as it is and the attributes as headers, or ``structured``, all of it
    as one JSON object. ``type_prefix`` goes before the name of the task type, such as ``com.shop.``, and
    ``dataschema`` is the URI of the payload's schema. ``extensions`` are further attributes of each event, and
    ``extension_headers`` name those of a message's own headers that become one, such as ``traceparent``.
    """

    source: str
    mode: EventMode = "binary"
    type_prefix: str = ""
    dataschema: str | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)
    extension_headers: Sequence[str] = ()

    def __post_init__(self) -> None:
        _require_uri("source", self.source)
        if self.mode not in get_args(EventMode):
            raise OptionError(f"mode is {shown(self.mode)}; give 'binary' or 'structured'")
        if not isinstance(self.type_prefix, str) or len(self.type_prefix) > 100 or no_string(self.type_prefix):
            raise OptionError(f"type_prefix is {shown(self.type_prefix)}; give text such as 'com.shop.'")
        if self.dataschema is not None:
            _require_uri("dataschema", self.dataschema, is_absolute=True)
        self._require_extensions()

    def most_added_bytes(self, task_type: str, key_bytes: int, headers_bytes: int) -> int:
        """Return how many bytes the attributes add to a message of that type, at most, whatever has to be escaped."""
        texts = [self.source, self.type_prefix, task_type, self.dataschema or "", *self.extensions.values()]
        own = headers_bytes + SPARE_BYTES if self.extension_headers else 0
        names = _CORE_COUNT + len(self.extensions) + len(self.extension_headers)
        return 2 * (sum(len(text.encode()) for text in texts) + key_bytes + own) + names * _NAME_BYTES + _ID_AND_TIME

    def _require_extensions(self) -> None:
        if not isinstance(self.extensions, Mapping):
            raise OptionError(f"extensions is {shown(self.extensions)}; give a mapping of names to texts")
        if isinstance(self.extension_headers, str) or not isinstance(self.extension_headers, Sequence):
            raise OptionError(f"extension_headers is {shown(self.extension_headers)}; give a list of names")
        for name in (*self.extensions, *self.extension_headers):
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name in CORE_ATTRIBUTES:
                raise OptionError(
                    f"the extension {shown(name)} is refused: give 1 to 20 letters a to z and digits, and no name that "
                    f"the specification has taken"
                )
        counts = Counter((*self.extensions, *self.extension_headers))
        if twice := sorted(name for name, count in counts.items() if count > 1):
            raise OptionError(
                f"the extensions {twice} are given twice, in extensions and extension_headers; give each once"
            )
        for name, value in self.extensions.items():
            if not isinstance(value, str) or not 0 < len(value) <= MOST_EXTENSION_CHARACTERS or no_string(value):
                wanted = f"text of 1 to {MOST_EXTENSION_CHARACTERS} characters"
                raise OptionError(f"the extension {name!r} is {shown(value)}; give {wanted}")


def require_events(events: object) -> None:
    """Raise OptionError unless it is a CloudEvents, or None."""
    if events is not None and not isinstance(events, CloudEvents):
        raise OptionError(f"cloudevents is {shown(events)}; give CloudEvents(source=...), or None")


def no_string(text: str) -> bool:
    """Tell whether a text holds what no attribute of an event may hold."""
    return bool(_NO_STRING.search(text))


def _require_uri(name: str, value: object, *, is_absolute: bool = False) -> None:
    wanted = "a URI in ASCII" if is_absolute else "a URI, or a part of one such as '/shop/users', in ASCII"
    fits = isinstance(value, str) and len(value) <= MOST_SOURCE_CHARACTERS and bool(_URI.fullmatch(value))
    try:
        fits = fits and (not is_absolute or bool(urlsplit(str(value)).scheme))
    except ValueError:
        fits = False
    if not fits:
        raise OptionError(f"{name} is {shown(value)}; give {wanted}, of {MOST_SOURCE_CHARACTERS} characters at most")
