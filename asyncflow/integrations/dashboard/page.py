"""What a page is: where it stands, what it asks for, how it looks; and a deed: a form that changes something."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncflow.computed import computed_once
from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.door.person import Person, Role

_NAME = re.compile(r"\{(\w+)\}")
Values = Mapping[str, str]
Seen = Mapping[str, Any]


@dataclass(frozen=True)
class PagePath:
    """Hold a path below the dashboard's own, in which ``{name}`` stands for a value."""

    path: str

    @computed_once
    def _pattern(self) -> re.Pattern[str]:
        parts = _NAME.split(self.path)
        return re.compile("".join(f"(?P<{p}>[^/]+)" if number % 2 else re.escape(p) for number, p in enumerate(parts)))

    def values_in(self, path: str) -> Values | None:
        """Return the values in a path; None if it is another's."""
        found = self._pattern.fullmatch(path)
        return None if found is None else found.groupdict()


@dataclass(frozen=True, kw_only=True)
class WebPage:
    """Describe a page: ``look`` reads what its template shows, on a worker thread, of some values of its address.

    What it reads may be ``seconds_old``; None: as old as the dashboard lets it be. Whoever looks at it asks anew after
    ``live_seconds``; 0: never.
    """

    place: PagePath
    template: str
    look: Callable[[Desk, Values], Seen]
    asks: Sequence[str] = ()  # names in its query
    seconds_old: float | None = None
    live_seconds: int = 2


@dataclass(frozen=True, slots=True)
class Form:
    """Hold what a person sent, with whom it is; each field that is asked for is there, or is empty."""

    values: Values
    fields: Mapping[str, Sequence[str]]
    person: Person

    def one(self, name: str) -> str:
        """Return the text of a field without the spaces around it, of several the first that is not empty."""
        return next((text for given in self.several(name) if (text := given.strip())), "")

    def raw(self, name: str) -> str:
        """Return the text of a field as it was sent."""
        given = self.fields.get(name, ())
        return given[0] if given else ""

    def several(self, name: str) -> Sequence[str]:
        """Return the texts of a field that may be there more than once."""
        return self.fields.get(name, ())

    @property
    def reason(self) -> str | None:
        """Return why it is done, on one line; None if that was not said."""
        return " ".join(self.one("reason").split()) or None

    def number(self, name: str) -> float | None:
        """Return the number in a field; None if it is empty. Raises OptionError."""
        text = self.one(name)
        try:
            return float(text) if text else None
        except ValueError:
            raise OptionError(f"{name} is {text!r:.60}; give a number, or leave it empty") from None


@dataclass(frozen=True, kw_only=True)
class Deed:
    """Describe a form's end: ``do`` changes something, on a worker thread, and returns where the person goes then.

    That is a path below the dashboard's, with a query if need be.
    """

    place: PagePath
    role: Role
    do: Callable[[Desk, Form], str]
