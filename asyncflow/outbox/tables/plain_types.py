"""Column types as a migration writes them, in SQLAlchemy's own types for all databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy.types import TypeEngine

from asyncflow.outbox.clock import DatabaseTime, Instant
from asyncflow.outbox.tables.column_types import TaskId

_TIME = (
    "{sa}DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql', 'mariadb')"
    ".with_variant({sa}DateTime(timezone=True), 'postgresql')"
)
_PLAIN = {
    TaskId: "{sa}BINARY(length=16).with_variant({sa}Uuid(), 'postgresql').with_variant({sa}LargeBinary(), 'sqlite')",
    Instant: _TIME,
    DatabaseTime: _TIME,
}


def plain_type(kind: Any, sa: str = "sa.") -> str | None:
    """Return one of asyncflow's types as Python; ``mysql`` is to be SQLAlchemy's dialect there. None for others."""
    plain = _PLAIN.get(type(kind))
    return None if plain is None else plain.format(sa=sa)


def type_as_python(kind: TypeEngine[Any]) -> str | None:
    """Return a type of a column as Python, with its variants; None for one that is not SQLAlchemy's, nor ours."""
    plain = plain_type(kind)
    if plain is not None:
        return plain
    variants = {name: _own(one) for name, one in kind._variant_mapping.items()}
    written = [_own(kind), *(f".with_variant({one}, {name!r})" for name, one in variants.items() if one)]
    return None if written[0] is None or None in variants.values() else "".join(map(str, written))


def _own(kind: TypeEngine[Any]) -> str | None:
    module = type(kind).__module__
    if module.startswith("sqlalchemy.dialects."):
        return f"{module.split('.')[2]}.{kind!r}"
    return f"sa.{kind!r}" if module.startswith("sqlalchemy.") else None
