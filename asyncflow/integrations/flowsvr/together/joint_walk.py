"""A list over several databases: one after the other, and who has none of it, or is away, costs one wait at most."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.flowsvr.together.asking import Asking, named_away
from asyncflow.integrations.flowsvr.together.one_database import ListPage

PageOf = Callable[[str, str | None], Coroutine[Any, Any, ListPage]]  # of a database's name, and behind what


class JointWalk:
    """Walk through what each of several databases has a list of; used on the event loop.

    The databases come in the order of their names, each page is of one of them, and the cursor names it.
    """

    def __init__(self, names: Collection[str], asking: Asking) -> None:
        self._names = sorted(names)
        self._asking = asking

    async def page(self, cursor: str | None, part: PageOf) -> ListPage:
        """Return a page, and who was left out on the way to it; raises OptionError, or Problem 503 if all are away."""
        first, inner = self._begun(cursor)
        names = self._names[self._names.index(first) :]
        away: list[str] = []
        # The rest is asked at once, and only where the first has nothing: many are empty, and any may be away.
        for some, behind in ((names[:1], inner), (names[1:], None)):
            answers = await self._asking.each({name: part(name, behind) for name in some})
            found = self._first(some, answers.given, away)
            if found is not None:
                return found
        if len(away) == len(self._names):
            raise named_away(away, "no database answers")
        return ListPage((), None, away)

    def _first(self, asked: Collection[str], given: Mapping[str, ListPage], away: list[str]) -> ListPage | None:
        """Return the first page with anything; who is before it and away is entered as such."""
        for name in asked:
            page = given.get(name)
            if page is None:
                away.append(name)
            elif page.next is not None:
                return page._replace(next=f"{name}:{page.next}", away=away, database=name)
            elif page.rows:
                return page._replace(next=self._behind(name), away=away, database=name)
        return None

    def _behind(self, name: str) -> str | None:
        place = self._names.index(name) + 1
        return f"{self._names[place]}:" if place < len(self._names) else None

    def _begun(self, cursor: str | None) -> tuple[str, str | None]:
        """Return in which database a list goes on, and behind what; raises OptionError."""
        if cursor is None:
            return self._names[0], None
        name, colon, inner = cursor.partition(":")
        if not colon or name not in self._names:
            raise OptionError(f"cursor is {cursor[:60]!r}; give what the page before of this list had as next")
        return name, inner or None
