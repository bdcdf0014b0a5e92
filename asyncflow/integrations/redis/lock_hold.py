"""A lock that is held: for how long, by which token, and renewed by a thread of its own."""

from __future__ import annotations

import os
import secrets
import threading
import time
from contextlib import suppress
from types import TracebackType

from asyncflow.errors import LockLostError, UnreachableError
from asyncflow.integrations.redis.lock_place import LockPlace

_PART_OF_LEASE = 0.9  # that its holder counts on: clocks do not run alike
_RENEWALS_A_LEASE = 3


class LockHold:
    """Hold a lock, from ``acquire`` to ``release``, renewed by a thread; of the process that acquired it."""

    def __init__(self, place: LockPlace, name: str, expires_after_seconds: float) -> None:
        self.token = 0  # greater than that of each hold before
        self._place = place
        self._name = name
        self._seconds = expires_after_seconds
        self._holder = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._process = os.getpid()
        self._lasts_until = float("-inf")
        self._is_over = threading.Event()
        self._is_given_back = False

    @property
    def lasts(self) -> bool:
        """Tell whether nobody else can have the lock now, as far as Redis keeps what it was told."""
        return not self._is_over.is_set() and self._process == os.getpid() and time.monotonic() < self._lasts_until

    def require(self) -> None:
        """Raise LockLostError unless the hold ``lasts``: for before each step that has an effect."""
        if not self.lasts:
            raise LockLostError(
                f"the lock {self._name!r} is not held any more, with the token {self.token}: its lease ran out, or "
                f"Redis lost it; somebody else may have it by now, with a greater token"
            )

    def release(self) -> None:
        """Give the lock back; may be called twice. One that cannot be given back ends by itself."""
        if self._process != os.getpid() or self._is_over.is_set():
            return
        self._is_given_back = True
        self._is_over.set()
        with suppress(UnreachableError):
            self._place.release(self._holder)

    def attempt(self) -> bool:
        """Ask once for the lock, and begin to renew it; raises UnreachableError."""
        asked_at = time.monotonic()
        token = self._place.acquire(self._holder, self._milliseconds)
        if token is None:
            return False
        self.token = token
        self._lasts_until = asked_at + self._seconds * _PART_OF_LEASE
        threading.Thread(target=self._renew, name="asyncflow-redis-lock", daemon=True).start()
        return True

    def __enter__(self) -> LockHold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back; raise LockLostError if it was lost, and nothing else was raised."""
        try:
            if kind is None and not self._is_given_back:
                self.require()
        finally:
            self.release()

    @property
    def _milliseconds(self) -> int:
        return int(self._seconds * 1000)

    def _renew(self) -> None:
        """Renew until the hold is over, or lost."""
        while not self._is_over.wait(self._seconds / _RENEWALS_A_LEASE):
            asked_at = time.monotonic()
            try:
                is_held = self._place.renew(self._holder, self._milliseconds)
            except UnreachableError:
                continue
            if not is_held:
                self._is_over.set()
                return
            self._lasts_until = asked_at + self._seconds * _PART_OF_LEASE
