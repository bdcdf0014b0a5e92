"""What a statement does to the transaction it is sent in, told from its first words."""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache

_FIRST_WORDS = re.compile(r"(?:[\s(;]|--[^\n]*\n|#[^\n]*\n|/\*.*?\*/)*([a-z]+)(?:\s+([a-z_@]+))?", re.I | re.S)
_CHANGES = re.compile(r"\b(?:insert|update|delete|merge|replace)\b(?!\s*\()", re.I)
_LOCKS = re.compile(r"\bfor\s+(?:no\s+key\s+)?update\b", re.I)
_CALL = re.compile(r"^[\s(]*select\s+[\w.\"`]+\s*\(", re.I)
# Of a function that is not alone, as in SELECT * FROM pay(1).
_CALLS_AMONG = re.compile(
    r"\b(?!(?:all|and|any|as|by|exists|from|in|join|not|on|or|over|select|some|union|using|values|when|where)\b)"
    r"[a-z_]\w*\"?\s*\(",
    re.I,
)
_INTO = re.compile(r"\binto\b", re.I)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_AUTOCOMMIT = re.compile(r"\bautocommit\b", re.I)
_FROM = re.compile(r"\bfrom\b", re.I)
_LOOKING = frozenset({"SELECT", "WITH", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "VALUES", "TABLE"})
_NEUTRAL = frozenset({"RELEASE", "ROLLBACK", "SET", "BEGIN", "START", "PRAGMA"})
_ENDING = frozenset({"COMMIT", "END"})
# What MySQL and MariaDB commit before.
_ENDING_ON_MYSQL = frozenset(
    {"ALTER", "ANALYZE", "BEGIN", "CACHE", "CHANGE", "CHECK", "CREATE", "DROP", "FLUSH", "GRANT", "IMPORT", "INSTALL"}
    | {"LOCK", "OPTIMIZE", "RENAME", "REPAIR", "RESET", "REVOKE", "START", "STOP", "TRUNCATE", "UNINSTALL", "UNLOCK"}
)


class StatementKind(Enum):
    """Name what a statement does to its transaction."""

    READS = auto()
    CALLS = auto()  # SELECT of a function without FROM, which may change something
    CHANGES = auto()
    SAVEPOINT = auto()
    NEUTRAL = auto()
    ENDS = auto()  # commits, whatever was open


def kind_of(statement: str, dialect_name: str) -> StatementKind:
    """Tell the kind of a statement; what is not known changes something."""
    found = _FIRST_WORDS.match(statement)
    first, second = (found[1].upper(), (found[2] or "").upper()) if found else ("", "")
    if _ends(first, second, dialect_name, statement):
        return StatementKind.ENDS
    if first == "SAVEPOINT":
        return StatementKind.SAVEPOINT
    if first in _NEUTRAL:
        return StatementKind.NEUTRAL
    if first not in _LOOKING or _changes_inside(first, statement) or _makes_table(statement, dialect_name):
        return StatementKind.CHANGES
    return StatementKind.CALLS if _CALL.match(statement) and not _FROM.search(statement) else StatementKind.READS


@lru_cache(maxsize=256)  # SQLAlchemy sends the very same text again and again
def calls_functions(statement: str) -> bool:
    """Tell whether a statement that reads calls functions, of which one may change something."""
    return _CALLS_AMONG.search(statement) is not None


def _ends(first: str, second: str, dialect_name: str, statement: str) -> bool:
    if first in _ENDING or (first, second) == ("PREPARE", "TRANSACTION"):
        return True
    if dialect_name not in ("mysql", "mariadb"):
        return False
    if first == "SET":
        return second == "PASSWORD" or _AUTOCOMMIT.search(statement) is not None
    return first in _ENDING_ON_MYSQL and second != "TEMPORARY"


def _changes_inside(first: str, statement: str) -> bool:
    """Tell whether a WITH holds, or an EXPLAIN carries out, what changes rows."""
    return first in ("WITH", "EXPLAIN") and _CHANGES.search(_LOCKS.sub("", statement)) is not None


def _makes_table(statement: str, dialect_name: str) -> bool:
    """Tell whether it is PostgreSQL's SELECT ... INTO, which makes a table of what it reads."""
    if dialect_name != "postgresql" or _INTO.search(statement) is None:
        return False
    return _INTO.search(_QUOTED.sub("", statement)) is not None
