"""What wakes the loops of an instance: made before all that wakes, and all that is woken."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from asyncflow.events import Hooks
from asyncflow.scheduler.cluster.departed import Departed
from asyncflow.scheduler.heads.lookout import Lookout
from asyncflow.scheduler.jobs.summons import Summons
from asyncflow.scheduler.loops.latch import Latch


class Alarms:
    """Wake the loops of one instance; any thread may call.

    ``summons`` are those of the relays, by destination, ``dispatchers`` those of the queues, by name. ``departed`` is
    what the monitor goes by. With ``of_keepers`` the monitor and the cleaner have one thread, and one latch.
    """

    def __init__(
        self,
        destinations: Iterable[str],
        departed: Departed,
        hooks: Hooks,
        *,
        queues: Iterable[str] = (),
        of_keepers: bool = False,
    ) -> None:
        self.departed = departed
        self.cluster = Latch("cluster", hooks)
        self.handlers = Latch("handlers", hooks)
        self.monitor = Latch("keepers" if of_keepers else "monitor", hooks)
        self.cleaner = self.monitor if of_keepers else Latch("cleaner", hooks)
        self.dispatchers = {name: Latch(f"dispatcher-{name}", hooks) for name in queues}
        self.summons = {name: Summons(f"relay-{name}", hooks) for name in destinations}

    def on_view(self, present: Collection[str], gone: Collection[str]) -> None:
        """Let the monitor look when instances have departed."""
        if self.departed.see(present, gone):
            self.monitor.wake()

    def on_change(self, lookout: Lookout) -> None:
        """Let all look at once: other shards are owned, or types are configured anew."""
        lookout.disturb()
        if self.departed.names():
            self.monitor.wake()
        for summons in self.summons.values():
            summons.latch.wake()
        self.handlers.wake()
        for dispatcher in self.dispatchers.values():
            dispatcher.wake()
        self.cleaner.wake()
