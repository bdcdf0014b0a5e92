"""Users from a file: who may sign in with a password."""

from __future__ import annotations

import hashlib
import logging
import stat
import sys
import threading
from collections.abc import Mapping
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from asyncflow.errors import OptionError
from asyncflow.forks import leave_at_fork
from asyncflow.integrations.dashboard.door.passwords import PasswordHash
from asyncflow.integrations.dashboard.door.person import Person
from asyncflow.outbox.options import refuse_unknown
from asyncflow.text import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LOG = logging.getLogger("asyncflow.dashboard")
_FIELDS = ("name", "role", "scrypt")


class User(NamedTuple):
    """Hold one who may sign in."""

    person: Person
    password: PasswordHash

    @property
    def mark(self) -> str:
        """Return what changes with the user's password, and tells nothing of it."""
        return hashlib.sha256(self.password.text.encode()).hexdigest()[:16]


class UsersFile:
    """Know the users of a TOML file with ``[[users]]``: ``name``, ``role`` and ``scrypt``, a hash of the password.

    The file is read again when it has changed; one at fault is told of in the log, and what was read before holds. Any
    thread may ask. Raises OptionError for one that cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        if not isinstance(path, (str, PathLike)):
            raise OptionError(f"the users file is {shown(path)}; give the path of a TOML file")
        self._path = Path(path)
        self.leave_to_parent()
        leave_at_fork(self)
        self._stamp = self._stamp_now()
        self._users = self._read()

    def leave_to_parent(self) -> None:
        """Have another lock in the child of a fork: a thread of the parent may hold this one."""
        self._lock = threading.Lock()

    def named(self, name: str) -> User | None:
        """Return the user of a name, as the file has it now."""
        self._read_again()
        return self._users.get(name)

    def signed_in(self, name: str, password: str) -> User | None:
        """Return the user, if that is the password; as slow for a name that there is not."""
        user = self.named(name)
        known = _nobody() if user is None else user.password
        return user if known.is_of(password) and user is not None else None

    def _read_again(self) -> None:
        with self._lock:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._users = self._read()
            except OptionError as error:
                _LOG.error("the users stay as they are: %s", error)

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Mapping[str, User]:
        try:
            text = self._path.read_text(encoding="utf-8")
            mode = self._path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            told = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise OptionError(f"the users file {str(self._path)!r} cannot be read: {told}") from None
        if mode & stat.S_IROTH:
            _LOG.warning("everybody on this machine can read the hashes in %s; chmod o-r it", self._path)
        return users_of(text, str(self._path))


@cache
def _nobody() -> PasswordHash:
    return PasswordHash.of("the password of nobody")


def users_of(text: str, where: str) -> Mapping[str, User]:
    """Return the users of TOML; raises OptionError, which shows no hash."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{where} is no TOML: {error}") from None
    refuse_unknown(where, tables, ("users",))
    given = tables.get("users")
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise OptionError(f"{where} has no [[users]]; make one with: asyncflow dashboard --hash NAME")
    users = [_user(one, where) for one in given]
    found = {user.person.name: user for user in users}
    if len(found) != len(users):
        raise OptionError(f"two users in {where} have the same name; give each a name of its own")
    return found


def _user(table: Mapping[str, Any], where: str) -> User:
    name = table.get("name")
    refuse_unknown(f"the user {shown(name)} in {where}", table, _FIELDS)
    return User(Person(name, table.get("role")), PasswordHash(table.get("scrypt", "")))  # type: ignore[arg-type]
