"""A kind: what an annotation accepts, and how the JSON of an argument becomes the argument again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asyncflow.text import a_type_of

Revive = Callable[[Any], Any]

NULL, BOOLEAN, NUMBER, TEXT, ARRAY, OBJECT = "null", "boolean", "number", "text", "array", "object"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Tell what an annotation accepts, and how to make it from its JSON.

    ``revive`` returns the value for the JSON of one, and raises ValueError or TypeError for what is none.
    """

    accepts: tuple[type, ...]
    revive: Revive
    forms: frozenset[str]  # of JSON that it may have
    refuses: tuple[type, ...] = ()
    is_plain: bool = True  # its JSON is the value itself
    is_shallow: bool = True  # what it accepts is told by the type alone
    values: tuple[Any, ...] | None = None  # the JSON of all its values, where they are listed

    def fits(self, value: Any) -> bool:
        """Tell whether the value may be given for this annotation, by its type."""
        return isinstance(value, self.accepts) and not isinstance(value, self.refuses)


def same(*accepts: type) -> Revive:
    """Return what keeps a value of these types and refuses all others."""

    def keep(value: Any) -> Any:
        if type(value) not in accepts:
            raise TypeError(f"{value!r:.60} is {a_type_of(value)}, not {accepts[0].__name__}")
        return value

    return keep


def deep(make: Any, revive: Revive, form: str, *, is_plain: bool = False) -> Kind:
    """Return the kind of what its type alone does not tell."""
    return Kind(accepts=(make,), revive=revive, forms=frozenset({form}), is_plain=is_plain, is_shallow=False)


def revived(kind: Kind | None, value: Any) -> Any:
    """Return the value for its JSON; of no kind, as it is."""
    return value if kind is None else kind.revive(value)


LIST = same(list)
DICT = same(dict)
