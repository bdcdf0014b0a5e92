"""The sign-in with a name and a password: slow for who guesses, and never too much for the machine."""

from __future__ import annotations

import asyncio
import logging
import math
from ipaddress import ip_address, ip_network

from asyncflow.forks import leave_at_fork
from asyncflow.integrations.dashboard.door.refusal import PageRefusedError
from asyncflow.integrations.dashboard.door.throttle import Throttle
from asyncflow.integrations.dashboard.door.users_file import User, UsersFile
from asyncflow.scheduler.loops.threads import DaemonExecutor
from asyncflow.text import printable

_LOG = logging.getLogger("asyncflow.dashboard")
_FREE_BY_ADDRESS, _FREE_BY_NAME = 5, 20  # attempts; a name is locked for its owner, too
_AT_ONCE = 2  # hashes: each takes memory, and a processor
_MOST_WAITING = 16
_LONGEST_NAME = 200


class SignIn:
    """Tell who knows which password; lives as long as its dashboard, and its counts are the process's own."""

    def __init__(self, throttle: Throttle | None = None) -> None:
        self._throttle = throttle or Throttle()
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin with threads of this process."""
        self._waiting = 0
        self._threads = DaemonExecutor("asyncflow-sign-in", _AT_ONCE)

    async def user(self, users: UsersFile, name: str, password: str, address: str) -> User | None:
        """Return the user of that name, if the password is his; raises PageRefusedError for one who must wait."""
        who = {f"address {_block_of(address)}": _FREE_BY_ADDRESS, f"name {name[:_LONGEST_NAME]}": _FREE_BY_NAME}
        if (wait := self._throttle.begin(who)) > 0:
            raise PageRefusedError(429, f"Too many attempts; wait {math.ceil(wait)} seconds.", retry_after_seconds=wait)
        if self._waiting >= _MOST_WAITING:
            raise PageRefusedError(503, "Too many people sign in at this moment; try again.", retry_after_seconds=2.0)
        user = await self._looked_up(users, name, password)
        shown = printable(name[:_LONGEST_NAME])
        if user is None:
            _LOG.warning("a wrong password for %s, from %s", shown, address)
        else:
            self._throttle.succeed(who)
            _LOG.info("%s signed in, from %s", shown, address)
        return user

    async def _looked_up(self, users: UsersFile, name: str, password: str) -> User | None:
        self._waiting += 1
        try:
            hashed = self._threads.submit(users.signed_in, name, password)
            return await asyncio.wrap_future(hashed)
        finally:
            self._waiting -= 1


def _block_of(address: str) -> str:
    """Return what one client has: an address, or of IPv6 a network of 2 ** 64 of them."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network(f"{address}/64", strict=False)) if found.version == 6 else address
