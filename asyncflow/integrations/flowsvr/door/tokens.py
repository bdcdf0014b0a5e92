"""Tokens: who may call the service, and what for. Of those without a secret the network tells who they are."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import stat
import string
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from asyncflow.errors import OptionError, nearest
from asyncflow.integrations.flowsvr.door.callers import hosts_of, networks_of, overlap
from asyncflow.networks import Network, is_within
from asyncflow.text import a_type_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CALLING_ROLES = frozenset({"producer", "worker", "admin"})
ROLES = CALLING_ROLES | {"metrics"}
_SHORTEST, _LONGEST = 16, 1000
_LONGEST_NAME = 100
_FIELDS = ("name", "token", "sha256", "networks", "hosts", "roles", "task_types")
_ANY = ("*",)
_LOG = logging.getLogger("asyncflow.flowsvr")


@dataclass(frozen=True, kw_only=True)
class Token:
    """Name one caller; of its secret only the SHA-256 is kept, so that nothing can print it."""

    name: str  # in logs and in the audit, up to 100 characters
    roles: frozenset[str]  # producer, worker, admin, metrics; an admin may do everything
    digest: bytes = field(repr=False)  # empty: it is known by its networks
    task_types: tuple[str, ...] = _ANY  # that it may create, hold and see: names, in which * stands for anything
    networks: tuple[Network, ...] = ()  # from which its callers ask /v1, without a secret
    hosts: tuple[str, ...] = ()  # names with a dot under which they ask

    @classmethod
    def of(cls, name: str, secret: str, *roles: str, task_types: Iterable[str] = _ANY) -> Token:
        """Make a token of its secret; raises OptionError."""
        table = {"name": name, "token": secret, "roles": list(roles), "task_types": list(task_types)}
        return token_of(table, "token")

    @classmethod
    def of_networks(
        cls,
        name: str,
        networks: Iterable[str],
        *roles: str,
        task_types: Iterable[str] = _ANY,
        hosts: Iterable[str] = (),
    ) -> Token:
        """Make one for programs that send no secret, such as the original's clients; raises OptionError."""
        table = {"name": name, "networks": list(networks), "roles": list(roles)}
        return token_of({**table, "task_types": list(task_types), "hosts": list(hosts)}, "token")

    def may(self, role: str) -> bool:
        """Tell whether the caller has the role."""
        return role in self.roles or "admin" in self.roles

    @property
    def is_bound(self) -> bool:
        """Tell whether there are task types that the caller may not use."""
        return "*" not in self.task_types

    def may_use(self, task_type: str) -> bool:
        """Tell whether the caller may create, hold and see tasks of a type."""
        return any(_fits(pattern, task_type) for pattern in self.task_types)


ANYBODY = Token(name="anybody", roles=ROLES, digest=b"")


class Tokens:
    """Know the tokens, until ``reload`` reads them anew. ``Tokens.none()`` lets anybody do everything.

    Any thread may look and any reload: the tokens are a tuple that is replaced as a whole.
    """

    _path: str | None = None

    def __init__(self, tokens: Iterable[Token], *, demanded: bool = True) -> None:
        if isinstance(tokens, (str, bytes)) or not isinstance(tokens, Iterable):  # whose value may be a secret
            raise OptionError(f"tokens is {a_type_of(tokens)}; give Token.of(...) in a list, or Tokens.from_file(path)")
        self._tokens = tuple(tokens)
        self.demanded = demanded
        if demanded and not self._tokens:
            raise OptionError("there is no token, so nobody could call the service; add a [[tokens]] table")
        _refuse_twins("name", [token.name for token in self._tokens])
        _refuse_twins("token", [token.digest for token in self._tokens if token.digest])
        _refuse_overlaps(self._tokens)

    @classmethod
    def none(cls) -> Tokens:
        """Demand no token; for a service that nobody else can reach."""
        return cls((), demanded=False)

    @classmethod
    def from_file(cls, path: str) -> Tokens:
        """Read a TOML file; raises OptionError, which never shows a secret. Warns of one that everybody can read."""
        try:
            text = Path(path).read_text(encoding="utf-8")
            mode = Path(path).stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            told = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise OptionError(f"the tokens file {path!r} cannot be read: {told}") from None
        if mode & stat.S_IROTH:
            _LOG.warning(
                "everybody on this machine can read the tokens file %r; let it be its owner's: chmod 600", path
            )
        tokens = cls.from_toml(text, f"the tokens file {path!r}")
        tokens._path = path
        return tokens

    def reload(self) -> bool:
        """Read the file anew, for the next request on; raises OptionError, and the tokens stay as they are.

        Return whether there was a file to read.
        """
        if self._path is None:
            return False
        self._tokens = Tokens.from_file(self._path)._tokens
        return True

    @classmethod
    def from_toml(cls, text: str, where: str) -> Tokens:
        """Read ``[[tokens]]`` tables of name, token or sha256, and roles; raises OptionError."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            # Its place alone: the text around it may be a secret.
            place = re.search(r"line \d+, column \d+", str(error))
            raise OptionError(f"{where} is no TOML, at {place[0] if place else 'its end'}") from None
        _refuse_unknown(where, document.keys(), ("tokens",))
        tables = document.get("tokens")
        if not isinstance(tables, list):
            raise OptionError(f"{where} has no [[tokens]] table; write one for each caller: name, token, roles")
        return cls([token_of(table, f"{where}, token {number}") for number, table in enumerate(tables, 1)])

    def know(self, token: Token) -> bool:
        """Tell whether a caller may still do what it might when it asked: neither taken back nor changed since."""
        return not self.demanded or token in self._tokens

    def known_by_network(self) -> list[Token]:
        """Return those that have networks in place of a secret."""
        return [token for token in self._tokens if token.networks]

    def at(self, address: str) -> Token | None:
        """Return the caller that is known by asking from this address."""
        return next((one for one in self.known_by_network() if is_within(address, one.networks)), None)

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
    _refuse_unknown(where, table.keys(), _FIELDS)
    name = table.get("name")
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise OptionError(f"name of {where} is no text of 1 to {_LONGEST_NAME} printable characters")
    roles, task_types = _roles(table.get("roles"), name), _task_types(table.get("task_types"), name)
    networks = networks_of(table["networks"], name) if "networks" in table else ()
    hosts = hosts_of(table.get("hosts"), name)
    token = Token(
        name=name,
        roles=roles,
        digest=_digest(table, name),
        task_types=task_types,
        networks=networks,
        hosts=hosts,
    )
    if networks and "admin" in roles:
        raise OptionError(f"the token {name!r} has networks, and nobody is an admin by an address; give it a secret")
    if hosts and not networks:
        raise OptionError(f"the token {name!r} has hosts, which are read beside networks alone; leave them out")
    if (networks or token.is_bound) and "metrics" in roles:
        raise OptionError(
            f"the token {name!r} is for metrics, which tell of all task types and are no part of /v1; give it a "
            f"secret, and no task_types"
        )
    if token.is_bound and "admin" in roles:
        raise OptionError(
            f"the token {name!r} is an admin's, who may do everything; leave task_types out, or give it other roles"
        )
    return token


def _refuse_unknown(where: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    """Refuse fields that nothing reads; shows no name but one that is nearly known, as others may be secrets."""
    for name in given:
        if name not in known:
            raise OptionError(
                f"{where} has a field that nothing reads{nearest(name, known)}; known: {', '.join(known)}"
            )


def _roles(roles: Any, name: str) -> frozenset[str]:
    known = ", ".join(sorted(ROLES))
    if not isinstance(roles, list) or not roles:
        raise OptionError(f"roles of the token {name!r} is no list with an item in it; give a list of {known}")
    for role in roles:
        if role not in ROLES:
            near = nearest(role, ROLES) if isinstance(role, str) else ""
            raise OptionError(f"the token {name!r} has a role that is not known{near}; give {known}")
    return frozenset(roles)


def _task_types(given: Any, name: str) -> tuple[str, ...]:
    if given is None:
        return _ANY
    if not isinstance(given, list) or not given or not all(isinstance(one, str) and one for one in given):
        raise OptionError(
            f'task_types of the token {name!r} is no list of names; give such as ["mail.*"], in which * stands for '
            f"anything, or leave it out"
        )
    return tuple(given)


def _fits(pattern: str, name: str) -> bool:
    """Tell whether a name is as a pattern says, in which nothing but ``*`` has a meaning of its own.

    No part is looked for twice: an expression of many stars would try them in all places where each fits.
    """
    first, *others = pattern.split("*")
    if not others:
        return name == first
    *between, last = others
    place, end = len(first), len(name) - len(last)
    if place > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in between:
        found = name.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def _digest(table: Mapping[str, Any], name: str) -> bytes:
    secret, sha256 = table.get("token"), table.get("sha256")
    if sum(one is not None for one in (secret, sha256, table.get("networks"))) != 1:
        raise OptionError(
            f"the token {name!r} needs either token, the secret itself, or sha256, its hash in hex, or networks, where "
            f"programs that send no secret ask from"
        )
    if "networks" in table:
        return b""
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


def _refuse_overlaps(tokens: Iterable[Token]) -> None:
    for one, other in combinations([token for token in tokens if token.networks], 2):
        if overlap(one.networks, other.networks):
            raise OptionError(
                f"the networks of the tokens {one.name!r} and {other.name!r} have addresses in common; let each "
                f"address be one caller's"
            )


def _refuse_twins(what: str, values: list[Any]) -> None:
    if len(set(values)) != len(values):
        raise OptionError(f"two tokens have the same {what}; give each caller one of its own")
