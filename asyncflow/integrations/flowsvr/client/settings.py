"""The settings of a task service's client: one table of defaults, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from asyncflow.errors import OptionError
from asyncflow.networks import is_loopback
from asyncflow.outbox.options import field_names, require_seconds, require_whole, settings_of
from asyncflow.outbox.tables import OWNER_LENGTH
from asyncflow.text import require_text

MAX_WAIT_SECONDS = 30.0  # the service holds no request longer
_LONGEST_SECONDS = 86400.0


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """Configure a client or worker of a task service. Raises OptionError, naming the option and what is allowed."""

    server: str = field(repr=False)  # the service's URL, such as "https://tasks.example.com"
    token: str | None = field(default=None, repr=False)  # the bearer token; None sends none
    name: str | None = None  # of the worker, for the service's list; None: host, process and some luck
    request_timeout_seconds: float = 10.0  # for each answer, beyond the time that a hold may wait
    retry_for_seconds: float = 10.0  # how long the client repeats what the service is too busy or away for
    min_backoff_seconds: float = 0.1  # before the service is asked again after a failure; doubles, with jitter
    max_backoff_seconds: float = 5.0  # where that doubling ends
    wait_seconds: float = 5.0  # how long the service may wait for a task before it answers that there is none
    claim_lease_seconds: float = 30.0  # after which the tasks of a worker that was killed are given back; renewed
    min_pause_seconds: float = 0.05  # after an answer without tasks that came at once; doubles
    max_pause_seconds: float = 5.0  # where that doubling ends
    settle_batch: int = 500  # outcomes, or claims to renew, sent in one request
    stop_timeout_seconds: float = 30.0  # how long stop() waits for work in hand

    def __post_init__(self) -> None:
        if not isinstance(self.server, str) or not self.server.startswith(("http://", "https://")):
            # Without its value: it may hold a password.
            raise OptionError("server is no URL of http or https; give one such as 'https://tasks.example.com'")
        if self.token is not None and not (isinstance(self.token, str) and self.token.isascii() and self.token.strip()):
            # Without its value: errors are logged.
            raise OptionError("token is no ASCII text; give the token as the service's operator wrote it")
        if self.name is not None:
            require_text("name", self.name, OWNER_LENGTH, OptionError)
        for name in _SECONDS:
            least, most = _LEAST_SECONDS.get(name, 0.001), _MOST_SECONDS.get(name, _LONGEST_SECONDS)
            require_seconds(name, getattr(self, name), least, most)
        require_whole("settle_batch", self.settle_batch, 1, 10_000)

    @property
    def shown_server(self) -> str:
        """Return the URL as it may be shown: without the password that it may hold."""
        parts = urlsplit(self.server)
        host = parts.netloc.rpartition("@")[2]
        return self.server if host == parts.netloc else parts._replace(netloc=f"***@{host}").geturl()

    @property
    def is_in_the_open(self) -> bool:
        """Tell whether requests go to another machine without encryption."""
        parts = urlsplit(self.server)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")

    def __repr__(self) -> str:
        shown = [f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr]
        return f"ClientSettings(server={self.shown_server!r}, {', '.join(shown)})"

    @classmethod
    def of(cls, **options: Any) -> ClientSettings:
        """Make settings from keyword options; raises UnknownOptionError with the nearest name."""
        return settings_of(cls, "the task service's client", options)


_SECONDS = tuple(name for name in field_names(ClientSettings) if name.endswith("_seconds"))
_LEAST_SECONDS = {"wait_seconds": 0.0, "retry_for_seconds": 0.0}  # of the others: 0.001
_MOST_SECONDS = {"wait_seconds": MAX_WAIT_SECONDS}
