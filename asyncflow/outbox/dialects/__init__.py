"""What differs between databases, behind one Protocol."""

from asyncflow.outbox.dialects.choose import dialect_of
from asyncflow.outbox.dialects.protocol import DatabaseDialect

__all__ = ["DatabaseDialect", "dialect_of"]
