"""What the dashboard answers: a page, a part of it, a redirect after a form, or why not."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from asyncflow.errors import AsyncflowError, RefusedError, TaskNotFoundError
from asyncflow.errors import OptionError as BadOption
from asyncflow.integrations.dashboard.assets import assets
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.door.address import address_of
from asyncflow.integrations.dashboard.door.bodies import fields_of
from asyncflow.integrations.dashboard.door.guard import COOKIE, Guard
from asyncflow.integrations.dashboard.door.origin import require_own_page
from asyncflow.integrations.dashboard.door.own_path import own_path
from asyncflow.integrations.dashboard.door.person import Person
from asyncflow.integrations.dashboard.door.refusal import PageRefusedError
from asyncflow.integrations.dashboard.door.sessions import Sessions
from asyncflow.integrations.dashboard.door.sign_in import SignIn
from asyncflow.integrations.dashboard.door.users_file import UsersFile
from asyncflow.integrations.dashboard.glances import Glances
from asyncflow.integrations.dashboard.page import Deed, Form, Values, WebPage
from asyncflow.integrations.dashboard.pages import deeds, pages
from asyncflow.integrations.dashboard.rendering import Templates, linked
from asyncflow.integrations.dashboard.settings import DashboardSettings
from asyncflow.integrations.dashboard.visit import LANGUAGE_COOKIE, Visit
from asyncflow.text import on_one_line

_LOG = logging.getLogger("asyncflow.dashboard")
_YEAR = 365 * 86400
_LONGEST_VALUE = 1000  # characters of a value in an address
_SMALL_FORM = 64 * 1024  # bytes; the most that a stranger makes us read


class Answers:
    """Answer visits; lives as long as its dashboard, and any event loop may ask."""

    def __init__(
        self,
        desk: Desk,
        guard: Guard,
        sessions: Sessions,
        settings: DashboardSettings,
        overview: WebPage | None = None,
    ) -> None:
        self._desk = desk
        self._pages = pages() if overview is None else (overview,)
        self._deeds = deeds() if overview is None else ()
        self._guard = guard
        self._sessions = sessions
        self._settings = settings
        self._glances = Glances()
        self._sign_in = SignIn()
        self._templates = Templates()

    async def to(self, visit: Visit) -> Response:
        """Return the answer to one visit, whatever happens."""
        try:
            response = await self._answer(visit)
        except PageRefusedError as refusal:
            response = self._refused(visit, refusal)
        except Exception as error:  # noqa: BLE001 - told to who asked, or in the log
            response = self._refused(visit, _refusal_of(error))
        if visit.request.query_params.get("language") and not visit.is_fragment:
            self._give_cookie(visit, response, LANGUAGE_COOKIE, visit.language, _YEAR)
        return response

    async def _answer(self, visit: Visit) -> Response:
        require_own_page(visit.request)
        visit.meet(await self._guard.visitor(visit.request))
        if visit.path.startswith("static/"):
            return _asset(visit)
        users, person = self._guard.users, visit.visitor.person
        if visit.path == "sign-in" and isinstance(users, UsersFile) and not visit.database:
            return await self._signed_in(visit, users) if visit.request.method == "POST" else self._signing_in(visit)
        if person is None:
            return self._stranger(visit)
        if visit.path == "sign-out" and visit.request.method == "POST":
            goes_to = "sign-in" if visit.visitor.signs_in else ""
            response = RedirectResponse(linked(visit.home, goes_to), 303)
            response.delete_cookie(COOKIE, path=visit.home or "/")
            return response
        if visit.request.method == "POST":
            return await self._done(visit, person)
        if visit.request.method not in ("GET", "HEAD"):
            raise PageRefusedError(405, "Pages are read, and forms are sent; there is nothing else here.")
        return await self._shown(visit)

    # -- pages and forms ---------------------------------------------------------------------------------

    async def _shown(self, visit: Visit) -> Response:
        for page in self._pages:
            if (values := page.place.values_in(visit.path)) is not None:
                return await self._page(visit, page, {**values, **_asked(visit, page)})
        raise PageRefusedError(404, "There is no such page.")

    async def _page(self, visit: Visit, page: WebPage, values: Values) -> Response:
        seconds = max(self._settings.look_seconds, page.seconds_old or 0.0)
        what = (page.place.path, tuple(sorted(values.items())))
        seen = await self._glances.see(what, partial(page.look, self._desk, values), seconds)
        return self._rendered(visit, page.template, {**seen, "live_seconds": page.live_seconds})

    async def _done(self, visit: Visit, person: Person) -> Response:
        for deed in self._deeds:
            if (values := deed.place.values_in(visit.path)) is not None:
                if not visit.visitor.is_open:
                    raise PageRefusedError(403, "No users are configured, so nothing can be changed here.")
                return await self._deed(visit, deed, values, person)
        raise PageRefusedError(404, "There is no such form.")

    async def _deed(self, visit: Visit, deed: Deed, values: Values, person: Person) -> Response:
        if not person.role.may(deed.role):
            raise PageRefusedError(403, f"This needs the role {deed.role.value}; {person.name} is {person.role.value}.")
        fields = await fields_of(visit.request, self._settings.max_body_bytes)
        form = Form(values, fields, person)
        return self._to(visit, await self._glances.do(partial(deed.do, self._desk, form)))

    # -- who asks ----------------------------------------------------------------------------------------

    def _stranger(self, visit: Visit) -> Response:
        is_page = visit.request.method == "GET" and not visit.is_fragment
        if not visit.visitor.signs_in or not is_page:
            raise PageRefusedError(401, "Sign in first.")
        query = visit.request.url.query
        path = f"{visit.database}/{visit.path}" if visit.database else visit.path
        wanted = own_path(f"{path}?{query}" if query else path)
        return RedirectResponse(linked(visit.home, "sign-in", {"next": wanted}), 303)

    def _signing_in(self, visit: Visit, told: str = "", status: int = 200) -> Response:
        wanted = own_path(visit.request.query_params.get("next", ""))
        return self._rendered(visit, "sign_in.html", {"next": wanted, "told": told}, status)

    async def _signed_in(self, visit: Visit, users: UsersFile) -> Response:
        form = await fields_of(visit.request, _SMALL_FORM)
        name, password, wanted = ((form.get(one) or [""])[0] for one in ("name", "password", "next"))
        address = address_of(visit.request)
        user = await self._sign_in.user(users, name, password, address)
        if user is None:
            return self._signing_in(visit, "The name or the password is wrong.", 401)
        response = self._to(visit, own_path(wanted))
        session = self._sessions.signed(user.person.name, user.mark)
        self._give_cookie(visit, response, COOKIE, session, math.floor(self._sessions.seconds))
        return response

    # -- answers -----------------------------------------------------------------------------------------

    def _rendered(self, visit: Visit, template: str, seen: Mapping[str, Any], status: int = 200) -> Response:
        own = {"title": self._settings.title, "assets": assets(), "live_seconds": 0}
        text = self._templates.render(template, {**own, **visit.values(), **seen})
        return HTMLResponse(text, status)

    def _refused(self, visit: Visit, refusal: PageRefusedError) -> Response:
        response = self._rendered(visit, "refusal.html", {"refusal": refusal}, refusal.status)
        if refusal.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(math.ceil(refusal.retry_after_seconds))
        return response

    def _to(self, visit: Visit, path: str) -> Response:
        return RedirectResponse(f"{visit.link('')}{path}", 303)

    def _give_cookie(self, visit: Visit, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path=visit.home or "/",
            secure=visit.is_secure,
            httponly=True,
            samesite="lax",  # a link in a message of the pager leads to a page, and not to the sign-in
        )


def _asked(visit: Visit, page: WebPage) -> Values:
    query = visit.request.query_params
    given = {name: query[name].strip() for name in page.asks if query.get(name, "").strip()}
    if any(len(value) > _LONGEST_VALUE for value in given.values()):
        raise PageRefusedError(400, "A value in the address is too long.")
    return given


def _asset(visit: Visit) -> Response:
    asset = assets().get(visit.path.removeprefix("static/"))
    if asset is None or visit.request.method not in ("GET", "HEAD"):
        raise PageRefusedError(404, "There is no such file.")
    return Response(asset.content, media_type=asset.kind, headers={"Cache-Control": "private, max-age=86400"})


def _refusal_of(error: Exception) -> PageRefusedError:
    """Return what a person is told of an error."""
    if isinstance(error, TaskNotFoundError):
        return PageRefusedError(404, str(error))
    if isinstance(error, (BadOption, RefusedError)):
        return PageRefusedError(400, str(error))
    if isinstance(error, AsyncflowError):
        return PageRefusedError(503, str(error))
    if isinstance(error, SQLAlchemyError):
        return PageRefusedError(503, f"The database answered: {on_one_line(getattr(error, 'orig', None) or error)}")
    _LOG.error("A page of the dashboard failed", exc_info=error)
    return PageRefusedError(500, "This page failed; the log has the traceback.")
