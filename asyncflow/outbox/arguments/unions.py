"""Unions of kinds: a value must be told from its JSON alone, or the union is refused."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.outbox.arguments.kind import TEXT, Kind

# Texts that no two of these types write alike; a str could be any of them.
_SAMPLES = (
    "01936f2e-8b6a-7c3d-9e4f-5a6b7c8d9e0f",
    "2026-01-31",
    "2026-01-31T12:30:00+00:00",
    "12:30:00",
    "12.50",
    "1E+3",
    "NaN",
    "P1DT2H",
    "text",
    "",
)


def union_kind(parts: list[Kind | None], annotation: Any) -> Kind | None:
    """Return the kind of ``A | B``; None if one of them is not checked. Raises OptionError."""
    kinds = [part for part in parts if part is not None]
    if len(kinds) < len(parts):
        return None
    for one, other in combinations(kinds, 2):
        if not (one.is_plain and other.is_plain) and _overlap(one, other):
            raise OptionError(
                f"{annotation} has types that are written alike in JSON and could not be told apart; "
                f"take one of them, or a dataclass with a field for each"
            )

    def revive(value: Any) -> Any:
        for kind in kinds:
            try:
                return kind.revive(value)
            except (ValueError, TypeError) as error:
                fault = error
        raise fault if len(kinds) == 1 else ValueError(f"{value!r:.60} is none of {annotation}")

    accepts = tuple(each for kind in kinds for each in kind.accepts)
    return Kind(
        accepts=accepts,
        refuses=tuple(each for kind in kinds for each in kind.refuses if each not in accepts),
        revive=revive,
        forms=frozenset().union(*(kind.forms for kind in kinds)),
        is_plain=all(kind.is_plain for kind in kinds),
        # A Decimal of 32 digits is a UUID's text, too: what comes back is compared where two types are made from texts.
        is_shallow=all(kind.is_shallow for kind in kinds) and sum(_is_made_of_text(kind) for kind in kinds) < 2,
    )


def _overlap(one: Kind, other: Kind) -> bool:
    common = one.forms & other.forms
    for listed, open_ in ((one, other), (other, one)):
        if listed.values is not None:
            return any(_takes(open_, value) for value in listed.values)
    if common == {TEXT}:
        return any(_takes(one, sample) and _takes(other, sample) for sample in _SAMPLES)
    return bool(common)


def _is_made_of_text(kind: Kind) -> bool:
    return TEXT in kind.forms and not kind.is_plain


def _takes(kind: Kind, json: Any) -> bool:
    try:
        kind.revive(json)
    except (ValueError, TypeError):
        return False
    return True
