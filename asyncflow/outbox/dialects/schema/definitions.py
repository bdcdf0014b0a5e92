"""A CREATE TABLE of SQLite, taken apart: what its catalogue does not tell stands there alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \[[^\]]*\] | --[^\n]* | /\*.*?\*/ | \w+ | \s+ | .""",
    re.DOTALL | re.VERBOSE,
)
_CONSTRAINTS = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}
_NO_NULL = re.compile(r"\s+NOT\s+NULL(\s+ON\s+CONFLICT\s+\w+)?", re.IGNORECASE)
_KEY = re.compile(r"\s+PRIMARY\s+KEY(\s+(ASC|DESC))?(\s+ON\s+CONFLICT\s+\w+)?(\s+AUTOINCREMENT)?", re.IGNORECASE)


class Definitions(NamedTuple):
    """Hold the columns by name and the constraints, each as it is written, and what stands behind them."""

    columns: dict[str, str]
    constraints: list[str]
    options: str

    @classmethod
    def of(cls, sql: str) -> Definitions:
        """Take the statement apart."""
        parts, options = _split(sql)
        columns: dict[str, str] = {}
        constraints: list[str] = []
        for part in parts:
            first = _words(part)[0]
            if first.upper() in _CONSTRAINTS:
                constraints.append(part)
            else:
                columns[unquoted(first)] = part
        return cls(columns, constraints, options)

    def collation_of(self, column: str) -> str | None:
        """Return the collation that a column names; None for BINARY, which is the one without a name."""
        words = _words(self.columns.get(column, ""))
        for word, following in pairwise(words):
            if word.upper() == "COLLATE":
                named = unquoted(following).upper()
                return None if named == "BINARY" else named
        return None


def without_not_null(definition: str) -> str:
    """Return a column's definition so that it may be left out."""
    return _NO_NULL.sub("", definition)


def without_key(definition: str) -> str:
    """Return a column's definition so that it is no primary key."""
    return _KEY.sub("", definition)


def names_in(constraint: str) -> set[str]:
    """Return the words of a constraint, in which are the names of its columns."""
    return set(map(unquoted, _words(constraint)))


def is_unique(constraint: str) -> bool:
    """Tell whether a constraint is UNIQUE."""
    words = [word.upper() for word in _words(constraint)]
    return words[:1] == ["UNIQUE"] or (words[:1] == ["CONSTRAINT"] and words[2:3] == ["UNIQUE"])


def is_primary_key(constraint: str) -> bool:
    """Tell whether a constraint is the primary key."""
    words = [word.upper() for word in _words(constraint)]
    return words[:1] == ["PRIMARY"] or (words[:1] == ["CONSTRAINT"] and words[2:3] == ["PRIMARY"])


def unquoted(word: str) -> str:
    """Return a name without what quotes it."""
    return word[1:-1].replace('""', '"') if word[:1] in ('"', "`", "[") else word


def _words(part: str) -> list[str]:
    return [word for word in _tokens(part) if not word.isspace()]


def _tokens(text: str) -> Sequence[str]:
    return [token for token in _TOKEN.findall(text) if not token.startswith(("--", "/*"))]


def _split(sql: str) -> tuple[list[str], str]:
    """Return what stands between the commas of the outermost brackets, and what stands behind these."""
    parts: list[str] = []
    part, depth = "", 0
    tokens = _tokens(sql)
    for place, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth == 0 and token == ")":
            return [*parts, part.strip()], "".join(tokens[place + 1 :]).strip()
        if depth == 1 and token == ",":
            parts.append(part.strip())
            part = ""
        elif depth > 1 or (depth == 1 and token != "("):  # which is the outermost one
            part += token
    return parts, ""
