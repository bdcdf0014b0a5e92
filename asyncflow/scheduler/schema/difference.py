"""What can be otherwise in a table, and the operation that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class DifferenceKind(str, Enum):
    """Name what differs; the values are what programs read."""

    TABLE_MISSING = "table-missing"
    ENGINE = "engine"
    COLUMN_MISSING = "column-missing"
    TYPE = "column-type"
    COLLATION = "column-collation"
    LOST_NOT_NULL = "column-takes-null"
    GAINED_NOT_NULL = "column-takes-no-null"
    DEFAULT = "column-default"
    COUNTS_NOT = "column-counts-not"
    WRITES_ITSELF = "column-writes-itself"
    REQUIRED = "column-required"
    PRIMARY_KEY = "primary-key"
    INDEX_MISSING = "index-missing"
    INDEX_DIFFERS = "index-differs"
    UNIQUE = "unique"


@dataclass(frozen=True, kw_only=True)
class SchemaDifference:
    """Tell one thing that is otherwise: of a table, or of its column or index ``name``."""

    kind: DifferenceKind
    table: str
    name: str | None
    needed: str
    found: str

    @property
    def text(self) -> str:
        """Tell it as a sentence's middle."""
        return f"{self.name or self.table}: needed is {self.needed}, found {self.found}"

    def as_dict(self) -> dict[str, str | None]:
        """Return it as JSON has it."""
        return {
            "kind": self.kind.value,
            "table": self.table,
            "name": self.name,
            "needed": self.needed,
            "found": self.found,
        }


@dataclass(frozen=True, kw_only=True)
class SchemaOperation:
    """Mend differences of one table: ``sql`` and ``alembic`` do the same, statement by statement.

    ``refused`` is why an upgrade does not run it by itself, with what to do; ``keeps_waiting`` tells that whoever
    writes waits as long as it takes, which is long if the table ``is_large``. ``without_null`` are columns in which an
    upgrade first looks for NULL. ``breaks_older`` tells that instances and writers of an older version would be refused
    their rows behind it.
    """

    table: str
    differences: tuple[SchemaDifference, ...]
    sql: tuple[str, ...]
    alembic: tuple[str, ...]
    refused: str | None = None
    keeps_waiting: bool = False
    is_large: bool = False
    without_null: tuple[str, ...] = ()
    breaks_older: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "table": self.table,
            "mends": [one.as_dict() for one in self.differences],
            "sql": self.sql,
            "alembic": self.alembic,
            "refused": self.refused,
            "breaks_older": self.breaks_older,
        }
