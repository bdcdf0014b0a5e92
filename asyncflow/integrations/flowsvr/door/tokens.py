"""Bearer tokens: who may call the service, and what for."""

from __future__ import annotations

import hashlib
import hmac
import string
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncflow.errors import OptionError, nearest
from asyncflow.outbox.options import refuse_unknown
from asyncflow.text import require_text, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROLES = frozenset({"producer", "worker", "admin"})
_SHORTEST, _LONGEST = 16, 1000
_FIELDS = ("name", "token", "sha256", "roles")


@dataclass(frozen=True, kw_only=True)
class Token:
    """Name one caller; of its secret only the SHA-256 is kept, so that nothing can print it."""

    name: str  # in logs and in the audit, up to 100 characters
    roles: frozenset[str]  # producer, worker, admin; an admin may do everything
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str, secret: str, *roles: str) -> Token:
        """Make a token of its secret; raises OptionError."""
        return token_of({"name": name, "token": secret, "roles": list(roles)}, "token")

    def may(self, role: str) -> bool:
        """Tell whether the caller has the role."""
        return role in self.roles or "admin" in self.roles


ANYBODY = Token(name="anybody", roles=ROLES, digest=b"")


class Tokens:
    """Know the tokens; read once at the start. ``Tokens.none()`` lets anybody do everything."""

    def __init__(self, tokens: Iterable[Token], *, demanded: bool = True) -> None:
        self._tokens = tuple(tokens)
        self.demanded = demanded
        if demanded and not self._tokens:
            raise OptionError("there is no token, so nobody could call the service; add a [[tokens]] table")
        _refuse_twins("name", [token.name for token in self._tokens])
        _refuse_twins("token", [token.digest for token in self._tokens])

    @classmethod
    def none(cls) -> Tokens:
        """Demand no token; for a service that nobody else can reach."""
        return cls((), demanded=False)

    @classmethod
    def from_file(cls, path: str) -> Tokens:
        """Read a TOML file; raises OptionError, which never shows a secret."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"the tokens file {path!r} cannot be read: {error}") from error
        return cls.from_toml(text, f"the tokens file {path!r}")

    @classmethod
    def from_toml(cls, text: str, where: str) -> Tokens:
        """Read ``[[tokens]]`` tables of name, token or sha256, and roles; raises OptionError."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise OptionError(f"{where} is no TOML: {error}") from error
        refuse_unknown(where, document, ("tokens",))
        tables = document.get("tokens")
        if not isinstance(tables, list):
            raise OptionError(f"{where} has no [[tokens]] table; write one for each caller: name, token, roles")
        return cls([token_of(table, f"{where}, token {number}") for number, table in enumerate(tables, 1)])

    def find(self, secret: str) -> Token | None:
        """Return the caller with this secret; takes the same time whichever it is, or none."""
        digest = hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found


def token_of(table: Any, where: str) -> Token:
    """Check one table of a tokens file; raises OptionError, which never shows a secret."""
    if not isinstance(table, Mapping):
        raise OptionError(f"{where} is no table; write [[tokens]] above its name, token and roles")
    refuse_unknown(where, table, _FIELDS)
    name = require_text(f"name of {where}", table.get("name"), 100, OptionError)
    return Token(name=name, roles=_roles(table.get("roles"), name), digest=_digest(table, name))


def _roles(roles: Any, name: str) -> frozenset[str]:
    if not isinstance(roles, list) or not roles:
        raise OptionError(f"roles of the token {name!r} is {shown(roles)}; give a list of {', '.join(sorted(ROLES))}")
    for role in roles:
        if role not in ROLES:
            near = nearest(role, ROLES) if isinstance(role, str) else ""
            known = ", ".join(sorted(ROLES))
            raise OptionError(f"the token {name!r} has the role {shown(role)}{near}; give {known}")
    return frozenset(roles)


def _digest(table: Mapping[str, Any], name: str) -> bytes:
    secret, sha256 = table.get("token"), table.get("sha256")
    if (secret is None) == (sha256 is None):
        raise OptionError(f"the token {name!r} needs either token, the secret itself, or sha256, its hash in hex")
    if sha256 is not None:
        if not isinstance(sha256, str) or len(sha256) != 64 or not set(sha256) <= set(string.hexdigits):
            raise OptionError(f"sha256 of the token {name!r} is not 64 hexadecimal digits; use the output of sha256sum")
        return bytes.fromhex(sha256)
    if not isinstance(secret, str) or not _SHORTEST <= len(secret) <= _LONGEST or not _is_plain(secret):
        raise OptionError(
            f"the secret of the token {name!r} is not {_SHORTEST} to {_LONGEST} letters, digits and signs of ASCII; "
            f"make one with: openssl rand -hex 32"
        )
    return hashlib.sha256(secret.encode()).digest()


def _is_plain(secret: str) -> bool:
    return secret.isascii() and secret.isprintable() and " " not in secret


def _refuse_twins(what: str, values: list[Any]) -> None:
    if len(set(values)) != len(values):
        raise OptionError(f"two tokens have the same {what}; give each caller one of its own")
