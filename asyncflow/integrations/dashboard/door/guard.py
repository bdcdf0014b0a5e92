"""Who asks: by a session, by the application's own sign-in, by a proxy, or by sitting at this machine."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.requests import Request

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.door.origin import require_this_machine
from asyncflow.integrations.dashboard.door.person import Person, Role
from asyncflow.integrations.dashboard.door.sessions import Sessions
from asyncflow.integrations.dashboard.door.users_file import UsersFile
from asyncflow.text import shown

COOKIE = "asyncflow_session"
PersonOf = Callable[[Request], "Person | Awaitable[Person | None] | None"]
Users = UsersFile | PersonOf | None


class Visitor(NamedTuple):
    """Tell who asks; ``person`` is None for one who has not signed in."""

    person: Person | None
    signs_in: bool = False  # here, with a password
    is_open: bool = True  # False: there are no users, and so nobody may do anything


class Guard:
    """Find out who asks; it keeps nothing of anybody. Raises OptionError for users that are none of the kinds."""

    def __init__(self, users: Any, sessions: Sessions) -> None:
        if users is not None and not isinstance(users, UsersFile) and not callable(users):
            raise OptionError(
                f"users is {shown(users)}; give a UsersFile, a TrustedProxy, or a function of the request"
            )
        self.users: Users = users
        self._sessions = sessions

    async def visitor(self, request: Request) -> Visitor:
        """Return who asks; raises PageRefusedError for one who may not even know that there is a dashboard."""
        if self.users is None:
            require_this_machine(request)
            return Visitor(Person("this machine", Role.VIEWER), is_open=False)
        if isinstance(self.users, UsersFile):
            return Visitor(self._of_session(self.users, request), signs_in=True)
        found = self.users(request)
        person = await found if inspect.isawaitable(found) else found
        if person is not None and not isinstance(person, Person):
            raise OptionError(f"users returned {shown(person)}; return a Person, or None")
        return Visitor(person)

    def _of_session(self, users: UsersFile, request: Request) -> Person | None:
        session = self._sessions.read(request.cookies.get(COOKIE, ""))
        user = None if session is None else users.named(session.name)
        # A password that was changed, and a user who was taken out, end what was signed in before.
        if session is None or user is None or user.mark != session.mark:
            return None
        return user.person
