"""One request: who asks, in which language, from where the dashboard's own paths are counted."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any

from starlette.requests import Request

from asyncflow.computed import computed_once
from asyncflow.integrations.dashboard.door.guard import Visitor
from asyncflow.integrations.dashboard.door.person import Role
from asyncflow.integrations.dashboard.rendering import linked
from asyncflow.integrations.dashboard.words import LANGUAGES, chosen_language, words_of

LANGUAGE_COOKIE = "asyncflow_language"


class Visit:
    """Hold one request from its begin to its answer; used by the event loop that serves it.

    Of several ``databases`` the first part of the path names one, whose pages are below; people sign in once for all.
    """

    def __init__(self, request: Request, databases: Collection[str] = ()) -> None:
        self.request = request
        self.nonce = secrets.token_urlsafe(16)
        self.home = self.root = request.scope.get("root_path", "").rstrip("/")
        first, slash, _ = self._below(self.home).partition("/")
        self.database = first if slash and first in databases else ""  # "" of the page of all, or of a single one
        if self.database:
            self.root = f"{self.home}/{self.database}"
        self.is_of_all = bool(databases) and not self.database
        self.visitor = Visitor(None)

    def meet(self, visitor: Visitor) -> None:
        """Take in who asks."""
        self.visitor = visitor

    @computed_once
    def path(self) -> str:
        """Return the path below the dashboard's own, without a first slash."""
        return self._below(self.root)

    @property
    def is_fragment(self) -> bool:
        """Tell whether the script of a page asks for what changes in it."""
        return self.request.headers.get("x-asyncflow-fragment") == "1"

    @property
    def is_secure(self) -> bool:
        """Tell whether the browser speaks HTTPS, to us or to a proxy; who lies about it harms himself alone."""
        told = self.request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        return "https" in (self.request.scope.get("scheme"), told)

    @computed_once
    def language(self) -> str:
        """Return the language of its answer."""
        chosen = self.request.query_params.get("language") or self.request.cookies.get(LANGUAGE_COOKIE)
        return chosen_language(chosen, self.request.headers.get("accept-language", ""))

    @computed_once
    def say(self) -> Callable[[str], str]:
        """Return what says a sentence in that language."""
        return words_of(self.language)

    def link(self, path: str, given: Mapping[str, Any] | None = None, /, **query: Any) -> str:
        """Return the address of a page, with a query of what is given by names or as a mapping."""
        return linked(self.root, path, {**(given or {}), **query})

    def may(self, role: str) -> bool:
        """Tell whether who asks has a role, and so whether a form is shown to him."""
        person = self.visitor.person
        return self.visitor.is_open and person is not None and person.role.may(Role(role))

    def values(self) -> Mapping[str, Any]:
        """Return what every template knows."""
        return {
            "say": self.say,
            "link": self.link,
            "may": self.may,
            "nonce": self.nonce,
            "language": self.language,
            "languages": LANGUAGES,
            "visitor": self.visitor,
            "layout": "fragment.html" if self.is_fragment else "base.html",
            "here": self.path,
            "query": dict(self.request.query_params),
            "database": self.database,
            "is_of_all": self.is_of_all,
            "home": linked(self.home, ""),
        }

    def _below(self, root: str) -> str:
        path: str = self.request.scope["path"]
        below = path[len(root) :] if root and path.startswith(f"{root}/") else path
        if root and path == root:
            below = ""
        return below.removeprefix("/")
