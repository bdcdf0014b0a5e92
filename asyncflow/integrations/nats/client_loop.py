"""An event loop for nats-py, run by whoever waits for something, and no longer than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from selectors import PollSelector
from time import monotonic
from typing import Any, TypeVar

from asyncflow.scheduler.loops.threads import DaemonExecutor

# So many turns take in what has come, up to the end of the connection, and close its socket.
TURNS_TO_HEAR = 12

T = TypeVar("T")


class NatsLoop(asyncio.SelectorEventLoop):
    """Run what one connection does, on the thread of its publisher alone; only ``call_soon_threadsafe`` is for others.

    Between two runs it stands still. It polls, so that its copy in the child of a fork shares nothing with it.
    """

    def __init__(self) -> None:
        super().__init__(PollSelector())
        self.is_encrypted = False
        self._opened: list[asyncio.Transport] = []
        self._look_ups = DaemonExecutor("asyncflow-nats-names", 1)  # whose one thread comes for a host's name
        self.set_default_executor(self._look_ups)
        self.set_exception_handler(lambda *_: None)  # what a task of nats-py dies of is told by its connection

    async def create_connection(self, *arguments: Any, **options: Any) -> Any:
        """Connect, and remember what is to be ended."""
        transport, protocol = await super().create_connection(*arguments, **options)
        self._opened.append(transport)
        return transport, protocol

    async def start_tls(self, *arguments: Any, **options: Any) -> Any:
        """Encrypt a connection, and remember that it is."""
        transport = await super().start_tls(*arguments, **options)
        self.is_encrypted = True
        return transport

    @property
    def is_cut(self) -> bool:
        """Tell whether a connection has ended, or is about to."""
        return any(transport.is_closing() for transport in self._opened)

    def forget_look_ups(self) -> None:
        """End the thread that looked a name up, as soon as it is idle."""
        self._look_ups.shutdown()

    def run(self, work: Coroutine[Any, Any, T], deadline: float) -> T:
        """Return what it returns; raise TimeoutError, and leave it, where that is not by ``deadline`` (monotonic)."""
        task = self.create_task(work)
        self._run(asyncio.wait({task}, timeout=max(0.0, deadline - monotonic())))
        if not task.done():
            task.cancel()
            raise TimeoutError("no answer in time")
        return task.result()

    def hear(self) -> None:
        """Take in what has come meanwhile, and wait for nothing."""
        self._run(_turns())

    def end(self, patience_seconds: float) -> None:
        """Cut connections, with what is unsent, end all tasks and give all sockets back."""
        for transport in self._opened:
            transport.abort()
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self._run(asyncio.wait(tasks, timeout=patience_seconds))
        self.hear()
        self.forget_look_ups()
        self.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.run_until_complete(work)
            return
        # This thread is at work for another loop, and takes no second.
        aside = DaemonExecutor("asyncflow-nats-aside", 1)
        try:
            aside.submit(self.run_until_complete, work).result()
        finally:
            aside.shutdown()


async def _turns() -> None:
    for _ in range(TURNS_TO_HEAR):
        await asyncio.sleep(0)
