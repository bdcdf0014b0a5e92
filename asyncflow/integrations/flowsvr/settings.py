"""The service's settings: one table of defaults, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from asyncflow.errors import OptionError
from asyncflow.outbox.options import field_names, require_number, require_whole, settings_of
from asyncflow.scheduler.settings import OnSuccess

DESTINATION = "flowsvr"  # under which events tell of what a service does
_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Configure one process of the service. Raises OptionError, naming the option, its value and what is allowed."""

    claim_lease_seconds: float = 30.0  # of a claim, where the worker names none
    max_lease_seconds: float = 3600.0  # that a worker may name
    max_wait_seconds: float = 30.0  # that a hold may wait for tasks
    look_interval_seconds: float = 0.1  # between two looks for due tasks, while a hold waits
    max_hold: int = 1000  # tasks given by one hold
    max_batch: int = 1000  # tasks in one bulk, set or renewal, and in a page of a list
    max_body_bytes: int = 8 * 1024 * 1024  # of one request
    max_bytes_in_flight: int | None = (
        None  # of large bodies at work, half of it for one token; None: 4 x max_body_bytes
    )
    max_answer_bytes: int = 8 * 1024 * 1024  # of tasks in one hold or page, beyond which no more are read
    max_connections: int = 1000  # at once; fewer where the process may not open as many files
    header_timeout_seconds: float = 10.0  # that a client may take to ask, once it is connected
    idle_timeout_seconds: float = 75.0  # that a connection of a known caller is kept for its next request
    body_timeout_seconds: float = 30.0  # that it may take to send a body, or to take on an answer
    rate_limit_per_second: float | None = None  # requests of one token, in each process; None: no limit
    threads: int = 8  # at work on the database at once, each with a connection
    busy_timeout_seconds: float = 5.0  # that a request waits for one of them before it is turned away
    monitor_interval_seconds: float = 5.0  # between two looks for claims that ran out
    type_refresh_seconds: float = 5.0  # between two looks for task types that were registered elsewhere
    on_success: OnSuccess = "keep"  # a handled row is kept as SUCCESS, or deleted as it is settled
    cache_bytes: int = 0  # of tasks settled for good, kept in each process for look-ups by id; 0: none
    cache_seconds: float = 60.0  # after which one is read again: so long one may be told that was deleted
    stop_timeout_seconds: float = 10.0  # that requests in hand get when the process is asked to stop

    def __post_init__(self) -> None:
        for name in _SECONDS:
            require_number(name, getattr(self, name), 0.001, _DAY)
        for name in ("max_hold", "max_batch"):
            require_whole(name, getattr(self, name), 1, 10_000)
        require_whole("max_body_bytes", self.max_body_bytes, 1024, 2**31 - 1)
        require_whole("max_answer_bytes", self.max_answer_bytes, 1024, 2**31 - 1)
        require_whole("max_connections", self.max_connections, 1, 1_000_000)
        require_whole("threads", self.threads, 1, 1000)
        require_whole("cache_bytes", self.cache_bytes, 0, 2**40)
        if self.max_bytes_in_flight is not None:
            require_whole("max_bytes_in_flight", self.max_bytes_in_flight, self.max_body_bytes, 2**40)
        if self.rate_limit_per_second is not None:
            require_number("rate_limit_per_second", self.rate_limit_per_second, 0.001, 1e9)
        if self.claim_lease_seconds > self.max_lease_seconds:
            raise OptionError(
                f"claim_lease_seconds is {self.claim_lease_seconds!r}; give at most max_lease_seconds, which is "
                f"{self.max_lease_seconds!r}"
            )
        if self.on_success not in get_args(OnSuccess):
            raise OptionError(f"on_success is {self.on_success!r}; give 'keep' or 'delete'")

    @property
    def bytes_in_flight(self) -> int:
        """Return how many bytes of large bodies may be at work at once."""
        return 4 * self.max_body_bytes if self.max_bytes_in_flight is None else self.max_bytes_in_flight

    @classmethod
    def of(cls, **options: Any) -> ServiceSettings:
        """Make settings from keyword options; raises UnknownOptionError with the nearest name."""
        return settings_of(cls, "the task service", options)


_SECONDS = tuple(name for name in field_names(ServiceSettings) if name.endswith("_seconds"))
