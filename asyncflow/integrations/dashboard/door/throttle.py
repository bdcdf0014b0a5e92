"""Wrong passwords: counted by address and by name, and slowed until guessing is hopeless."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from asyncflow.forks import leave_at_fork

_FIRST_SECONDS, _LONGEST_SECONDS = 2.0, 900.0
_FORGOTTEN_SECONDS = 3600.0
_MOST_KNOWN = 10_000


class Throttle:
    """Tell how long whoever fails again and again must wait; any thread may ask, one lock guards the counts.

    An attempt counts before it is looked at, so that a hundred at once are no hundred free ones. Counts are this
    process's own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin with no attempts in the child of a fork, and with a lock that no thread of the parent holds."""
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how often, and when last

    def begin(self, free: Mapping[str, int]) -> float:
        """Count an attempt of these, of whom each has so many ``free`` ones before the first wait.

        Or return for how many seconds they must wait, having counted nothing.
        """
        with self._lock:
            wait = max((self._wait(who, most) for who, most in free.items()), default=0.0)
            if wait <= 0:
                for who in free:
                    self._count(who)
            return max(0.0, wait)

    def succeed(self, who: Iterable[str]) -> None:
        """Forget the attempts of who knew the password."""
        with self._lock:
            for name in who:
                self._failed.pop(name, None)

    def _wait(self, name: str, free: int) -> float:
        count, last = self._failed.get(name, (0, 0.0))
        if count < free or self._clock() - last >= _FORGOTTEN_SECONDS:
            return 0.0
        pause = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(count - free, 20))
        return last + pause - self._clock()

    def _count(self, name: str) -> None:
        now = self._clock()
        count, last = self._failed.pop(name, (0, now))
        self._failed[name] = (1 if now - last >= _FORGOTTEN_SECONDS else count + 1, now)
        while len(self._failed) > _MOST_KNOWN:
            self._failed.popitem(last=False)
