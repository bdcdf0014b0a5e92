"""The dashboard's settings: one table of defaults, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.redaction import Redaction
from asyncflow.outbox.options import require_number, require_whole
from asyncflow.text import shown

_DAY = 86400.0
TRACE_ID = "{trace_id}"  # stands in an address for a trace


@dataclass(frozen=True, kw_only=True)
class DashboardSettings:
    """Configure one dashboard. Raises OptionError, naming the option, its value and what is allowed."""

    title: str = "asyncflow"  # on each page
    session_seconds: float = 12 * 3600.0  # from the sign-in until one must sign in again
    secret: str | None = field(default=None, repr=False)  # signs sessions; None: a random one, of this process alone
    look_seconds: float = 2.0  # the same is read from the database at most once in so long; as often as pages ask
    max_body_bytes: int = 2 * 1024 * 1024  # of a form
    trace_url: str | None = None  # where a trace is looked at, such as https://jaeger.example/trace/{trace_id}
    redaction: Redaction = field(default_factory=Redaction)  # what of headers and payloads nobody is shown

    def __post_init__(self) -> None:
        if not isinstance(self.title, str) or not self.title.strip():
            raise OptionError("title is empty; give a text, such as the application's name")
        require_number("session_seconds", self.session_seconds, 60.0, 400 * _DAY)
        require_number("look_seconds", self.look_seconds, 0.1, 3600.0)
        require_whole("max_body_bytes", self.max_body_bytes, 64 * 1024, 64 * 1024 * 1024)
        if self.trace_url is not None:
            _require_trace_url(self.trace_url)
        if not isinstance(self.redaction, Redaction):
            raise OptionError("redaction is none; give a Redaction")


def _require_trace_url(given: object) -> None:
    is_address = isinstance(given, str) and given.isprintable() and given.startswith(("https://", "http://"))
    if not is_address or TRACE_ID not in str(given):
        raise OptionError(
            f"trace_url is {shown(given)}; give an address with {TRACE_ID}, such as https://jaeger.example/trace/{TRACE_ID}"
        )
