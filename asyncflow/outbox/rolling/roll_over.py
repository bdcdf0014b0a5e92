"""How finished tasks roll over: when, how many to a table, and how long a table is kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from asyncflow.errors import OptionError, UnknownOptionError
from asyncflow.outbox.options import require_whole
from asyncflow.text import shown

LEAST_ROWS = 100  # each table has its price: its files, its statistics, a branch of each look-up
_DAY = timedelta(days=1)
_LONGEST = 3650 * _DAY


@dataclass(frozen=True, kw_only=True)
class RollOver:
    """Say how tasks that are over leave the task table, for tables that are dropped as a whole.

    ``rows``: as many go into a table before the next one is begun, or a few more.
    ``age``: a table is closed after this time, though it has fewer rows; None closes only those that are full.
    ``keep``: how long a table is kept after it was closed.
    ``after``: how long a finished task stays in the task table.

    Raises OptionError, naming the field, its value and what is allowed.
    """

    rows: int = 5_000_000
    age: timedelta | None = None
    keep: timedelta = 3 * _DAY
    after: timedelta = timedelta(minutes=1)

    def __new__(cls, **given: Any) -> RollOver:
        """Refuse what is none of its fields, by name."""
        names = [one.name for one in fields(cls)]
        if unknown := [name for name in given if name not in names]:
            raise UnknownOptionError.among("RollOver", unknown, names)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        require_whole("rows of RollOver", self.rows, LEAST_ROWS, 2**31 - 1)
        if self.age is not None:
            _require_time("age", self.age, timedelta(seconds=1))
        _require_time("keep", self.keep, timedelta(0))
        _require_time("after", self.after, timedelta(0))


def _require_time(name: str, value: Any, least: timedelta) -> None:
    if not isinstance(value, timedelta) or not least <= value <= _LONGEST:
        raise OptionError(
            f"{name} of RollOver is {shown(value)}; give a timedelta of {least.total_seconds():.0f} seconds to "
            f"{_LONGEST.days} days"
        )
