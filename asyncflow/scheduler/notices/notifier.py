"""The notifier: a loop of its own that looks, and tells channels what is new."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from sqlalchemy import Connection, Engine

from asyncflow.callables import require_function
from asyncflow.errors import ForkedError, OptionError
from asyncflow.event_log import LoggedHooks
from asyncflow.events import Hook, StepFailed
from asyncflow.leash import Leash
from asyncflow.outbox import Outbox
from asyncflow.outbox.options import require_number
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.diagnosis.diagnose import diagnose
from asyncflow.scheduler.diagnosis.finding import Severity
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.notices.memory import ToldFindings, Untold, together
from asyncflow.scheduler.notices.notice import Notice, by_key, cleared_of
from asyncflow.text import shown

_LOOP = "notices"
_TRIES = 3  # of a channel, with pauses that double
_PAUSE_SECONDS = 1.0
_MOST_SECONDS = 30 * 86400.0


class Channel(Protocol):
    """Tell people; called on the notifier's thread, and may take some seconds."""

    def send(self, notice: Notice, /) -> None:
        """Tell it, or raise what keeps it from being told."""
        ...


@dataclass(frozen=True, kw_only=True)
class NotifierSettings:
    """Configure a notifier. Raises OptionError."""

    source: str | None = None  # whose findings they are, as people know it; None: the database's name
    least: str = "trouble"  # the least severity that is told: stuck, trouble, notice
    interval_seconds: float = 30.0  # between two looks, of all instances together
    # After which what is still there is told once more; not longer than idempotency keys are kept.
    repeat_seconds: float = 6 * 3600.0
    quiet_seconds: float = 120.0  # for how long something must be gone to be told as cleared
    stop_timeout_seconds: float = 15.0  # for a notice that is being sent

    def __post_init__(self) -> None:
        known = [severity.value for severity in Severity]
        if self.least not in known:
            raise OptionError(f"least is {shown(self.least)}; give one of {', '.join(known)}")
        for name in ("interval_seconds", "repeat_seconds", "quiet_seconds", "stop_timeout_seconds"):
            require_number(name, getattr(self, name), 0.001, _MOST_SECONDS)

    def severities(self) -> frozenset[Severity]:
        """Return those that are told."""
        ordered = list(Severity)
        return frozenset(ordered[: ordered.index(Severity(self.least)) + 1])


class Notifier:
    """Tell channels of findings that appear, are still there and clear; lives from ``start`` to ``stop``.

    Of any number of instances one looks at a time, and what was told is kept in the outbox's tables: each thing is told
    once, whoever looks next. A channel that fails is tried three times, told in the log, and keeps no other from
    being told; what no channel took is told anew with the next look. No loop of a scheduler waits for it.
    """

    def __init__(
        self,
        engine: Engine,
        outbox: Outbox,
        channels: Iterable[Channel],
        *,
        settings: NotifierSettings | None = None,
        hooks: Iterable[Hook] = (),
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._channels = list(channels)
        if not self._channels:
            raise OptionError("channels is empty; give those that shall be told")
        for channel in self._channels:
            require_function("send() of a channel", channel.send)
        self._settings = settings or NotifierSettings()
        self._source = self._settings.source or str(engine.url.database or engine.url.host or "")
        self._severities = self._settings.severities()
        self._told = ToldFindings(outbox)
        self._hooks = LoggedHooks(hooks)
        self._stopping = threading.Event()
        self._loop = Loop(_LOOP, self.step, self._hooks)
        self._started_by: int | None = None

    def start(self) -> None:
        """Look from now on; raises ForkedError if the parent of this process has started it."""
        if self._is_parents():
            raise ForkedError(
                f"this notifier was started by process {self._started_by}, of which process {os.getpid()} is a fork; "
                f"make one in the child, or start none before the fork"
            )
        self._started_by = os.getpid()
        self._loop.start()

    def stop(self) -> bool:
        """Look no more; return whether a notice that was being sent has ended in time. Does nothing in a fork.

        A channel, or a hook of its own, may call it as well: it does not wait there, and returns False.
        """
        if self._is_parents():
            return True
        self._stopping.set()
        return self._loop.stop(self._settings.stop_timeout_seconds) and not self._loop.is_current()

    def __enter__(self) -> Notifier:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _is_parents(self) -> bool:
        return self._started_by not in (None, os.getpid())

    def step(self) -> float:
        """Look if nobody has lately, and tell what is new; return the seconds until the next look."""
        its = self._settings
        if self._is_our_turn():
            found = by_key(one for one in diagnose(self._engine, self._outbox) if one.severity in self._severities)
            news = self._take_in(found)
            notice = Notice(
                source=self._source,
                at=news.at,
                appeared=tuple(one for key, one in found.items() if key in news.appeared),
                still_there=tuple(one for key, one in found.items() if key in news.still_there),
                cleared=tuple(map(cleared_of, sorted(news.cleared))),
            )
            if notice:
                self._tell(notice, news)
        return its.interval_seconds

    def _is_our_turn(self) -> bool:
        """Take a turn if it is time; one that was taken by a COMMIT whose answer was lost is ours, too."""
        seconds, taken = self._settings.interval_seconds * 0.9, list[bool]()
        run_briefly(self._engine, lambda connection: taken.append(self._told.take_turn(connection, seconds)))
        return any(taken)

    def _take_in(self, found: Collection[str]) -> Untold:
        """Remember what was found; return what is new, also by a COMMIT whose answer was lost."""
        its, tried = self._settings, list[Untold]()

        def take_in(connection: Connection) -> None:
            quiet, repeat = its.quiet_seconds, its.repeat_seconds
            tried.append(self._told.take_in(connection, found, repeat_seconds=repeat, quiet_seconds=quiet))

        run_briefly(self._engine, take_in)
        return together(tried)

    def _tell(self, notice: Notice, news: Untold) -> None:
        taken = [self._is_taken(channel, notice) for channel in self._channels]
        if not any(taken):
            run_briefly(self._engine, lambda connection: self._told.undo(connection, news))

    def _is_taken(self, channel: Channel, notice: Notice) -> bool:
        pause = _PAUSE_SECONDS
        for number in range(1, _TRIES + 1):
            try:
                with Leash():
                    channel.send(notice)
                return True
            except Exception as error:  # noqa: BLE001 - told, and the other channels are tried as well
                self._hooks.emit(StepFailed(_LOOP, error, pause if number < _TRIES else 0.0))
                if number == _TRIES or self._stopping.wait(pause):
                    return False
                pause *= 2
        return False
