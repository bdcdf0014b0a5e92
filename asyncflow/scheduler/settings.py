"""The scheduler's settings: one table of defaults, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from asyncflow.errors import OptionError
from asyncflow.outbox.options import field_names, is_number, require_flag, settings_of
from asyncflow.scheduler.cluster.strategies import MINIMAL_MOVEMENT, Strategy, strategy_of
from asyncflow.scheduler.loops.triggers import LONGEST_SECONDS, trigger_of

OnSuccess = Literal["keep", "delete"]
_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class SchedulerSettings:
    """Configure one scheduler process. Raises OptionError, naming the option, its value and what is allowed."""

    instance_index: int = 0  # with instance_count: which of the instances this is, from 0
    instance_count: int | None = None  # fixed shares: instance i owns shard % count == i; None: whoever is there shares
    sharding_strategy: str | Strategy = MINIMAL_MOVEMENT  # or AVG_ALLOCATION, ODEVITY, ROUND_ROBIN, or a function
    lease_seconds: float = 7.0  # after which the shards of an instance that was killed are taken over
    heartbeat_seconds: float = 0.8  # between two looks at the other instances
    tick: float | str = 1.0  # seconds between two ticks, or a crontab line such as "*/5 * * * *"
    min_pause_seconds: float = 0.005  # before the first look after nothing was found; doubles with each
    max_pause_seconds: float = 5.0  # where the doubling ends
    wake_on_commit: bool = True  # look at once when a transaction commits in this process
    round_size: int = 2000  # rows read, published and settled at once, over all pages of a destination
    round_bytes: int = 16 * 1024 * 1024  # payload held in memory at once, a destination; approached from below
    on_success: OnSuccess = "keep"  # a published row is kept as SUCCESS, or deleted as it is settled (faster)
    claim_lease_seconds: float = 30.0  # after which the tasks of a worker that was killed are given back; renewed
    monitor_interval_seconds: float = 5.0  # between two looks for claims that ran out
    periodic_interval_seconds: float = 30.0  # between two looks at the periodic tasks while none is due
    configuration_interval_seconds: float = 5.0  # between two readings of the task types' configuration
    success_retention_seconds: float | None = 3 * _DAY  # SUCCESS rows are deleted after it; None keeps them
    failed_retention_seconds: float | None = 30 * _DAY  # FAILED and CANCELLED rows likewise
    audit_retention_seconds: float | None = 365 * _DAY  # audit rows are deleted after it; None keeps them
    dedupe_retention_seconds: float | None = 7 * _DAY  # idempotency keys are forgotten after it; None keeps them
    inbox_retention_seconds: float | None = 14 * _DAY  # inbox entries are deleted after it; None keeps them
    archive_directory: str | None = None  # where rows are written before the cleaner deletes them; None: nowhere
    cleaning_interval_seconds: float = 60.0  # between two runs of the cleaner
    cleaning_batch: int = 500  # rows deleted in one transaction; up to 4 times as many far behind
    cleaning_pause_seconds: float = 0.05  # between two such transactions
    breaker_pause_seconds: float = 0.5  # before an unreachable destination is tried again; doubles
    max_breaker_pause_seconds: float = 5.0  # where that doubling ends
    stop_timeout_seconds: float = 30.0  # how long stop() waits for work in hand

    def __post_init__(self) -> None:
        _require_share(self)
        for name in ("round_size", "round_bytes", "cleaning_batch"):
            _require_whole(self, name, 1)
        for name in _SECONDS:
            if not (name.endswith(_RETENTION) and getattr(self, name) is None):
                _require_seconds(name, getattr(self, name))
        if round(self.heartbeat_seconds * 3 - self.lease_seconds, 9) > 0:  # 3 * 0.1 > 0.3, as floats go
            raise OptionError(
                f"heartbeat_seconds is {self.heartbeat_seconds!r}; give at most a third of lease_seconds, which is "
                f"{self.lease_seconds!r}: one late heartbeat must not cost the lease"
            )
        strategy_of(self.sharding_strategy)
        require_flag("wake_on_commit", self.wake_on_commit)
        if self.on_success not in get_args(OnSuccess):
            raise OptionError(f"on_success is {self.on_success!r}; give 'keep' or 'delete'")
        trigger_of(self.tick)
        _require_archive(self)

    @classmethod
    def of(cls, **options: Any) -> SchedulerSettings:
        """Make settings from keyword options; raises UnknownOptionError with the nearest name."""
        return settings_of(cls, "Scheduler", options)


_SECONDS = tuple(name for name in field_names(SchedulerSettings) if name.endswith("_seconds"))
_RETENTION = "_retention_seconds"  # which may be None


def _require_share(settings: SchedulerSettings) -> None:
    if settings.instance_count is not None:
        _require_whole(settings, "instance_count", 1)
        _require_whole(settings, "instance_index", 0, settings.instance_count - 1)
    elif settings.instance_index != 0:
        raise OptionError(
            f"instance_index is {settings.instance_index!r}, but instance_count is None; "
            f"give both for a fixed share, or neither"
        )


def _require_archive(settings: SchedulerSettings) -> None:
    directory = settings.archive_directory
    if directory is None:
        return
    if not isinstance(directory, str) or not directory:
        raise OptionError(f"archive_directory is {directory!r}; give the path of a directory, as text, or None")
    if settings.on_success == "delete":
        raise OptionError(
            "on_success is 'delete', so done rows never come to the cleaner, and archive_directory is given; leave one "
            "of them out"
        )


def _require_whole(settings: SchedulerSettings, name: str, least: int, most: int = 2**31 - 1) -> None:
    value = getattr(settings, name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        bounds = f"from {least} to {most}" if most < 2**31 - 1 else f"of at least {least}"
        raise OptionError(f"{name} is {value!r}; give a whole number {bounds}")


def _require_seconds(name: str, value: Any) -> None:
    if not is_number(value) or not 0 < value <= LONGEST_SECONDS:
        raise OptionError(f"{name} is {value!r}; give seconds above 0, up to {LONGEST_SECONDS:.0f}")
