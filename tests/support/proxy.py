"""A network between a client and its server that does what networks do: it resets, stalls, delays and swallows."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import URL

from tests.support.wire import WIRES, Wire
from tools.services import ports

_CHUNK = 64 * 1024
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Pass on what clients send to ``target`` and what it answers; use it as a context, which ends all connections.

    Any thread may call its methods; each concerns the connections that are open and those to come. ``commits``
    counts the commits that went by, autocommitted writes included, from 1, over all connections.
    """

    def __init__(self, target: tuple[str, int], make_wire: Callable[[], Wire] | None = None) -> None:
        self.commits = 0
        self.lost: list[int] = []  # the numbers of the commits whose answers were swallowed
        self._target = target
        self._make_wire = make_wire
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._delay_seconds = 0.0
        self._loses: Callable[[int], bool] = lambda _: False
        self._is_silent_after_loss = False
        self._refuses = False
        self._connections: list[_Connection] = []
        self._listener = socket.create_server((ports.LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def stall(self) -> None:
        """Pass nothing on in either direction, and tell nobody; what was sent before ``resume`` arrives after it."""
        self._flows.clear()

    def resume(self) -> None:
        """Pass everything on again."""
        self._flows.set()

    def delay(self, seconds: float) -> None:
        """Let each answer come later by so much; 0 for not any more."""
        self._delay_seconds = seconds

    def reset(self) -> None:
        """Reset all open connections, on both sides."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.reset()

    def refuse(self, refuses: bool = True) -> None:
        """Close new connections at once, or not any more."""
        self._refuses = refuses

    def switch_to(self, target: tuple[str, int]) -> None:
        """Lead new connections elsewhere; open ones stay where they are."""
        self._target = target

    def lose_answers(self, which: Callable[[int], bool], *, silent: bool = False) -> None:
        """Let the commits of the numbers ``which`` happen, and send a reset in place of the answer, or nothing."""
        self._loses, self._is_silent_after_loss = which, silent

    def lose_nth(self, nth: int) -> None:
        """Let the answer of one commit go astray: of the ``nth`` from now on, 1 for the next; of none for 0."""
        at = self.commits + nth
        self.lose_answers(lambda number: nth > 0 and number == at)

    def each_lost(self) -> Iterator[int]:
        """Yield 0, 1, 2 and so on for work that is done each time, losing the answer of its commit of that number.

        At 0 it loses none, and counts how many there are.
        """
        lost = commits = 0
        while lost <= commits:
            before = self.commits
            self.lose_nth(lost)
            yield lost
            if lost == 0:
                commits = self.commits - before
                assert commits, "the work has no commits"
            lost += 1

    def close(self) -> None:
        """End everything."""
        self._refuses = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
        self.resume()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._flows.wait()
            try:
                server = None if self._refuses else socket.create_connection(self._target, timeout=60)
            except OSError:
                server = None
            if server is None:
                client.close()
                continue
            server.settimeout(None)
            connection = _Connection(self, client, server, self._make_wire() if self._make_wire else None)
            with self._lock:
                self._connections.append(connection)
            connection.start()

    def count(self, commits: int) -> int | None:
        """Count commits; return the number of one whose answer is to be lost."""
        with self._lock:
            numbers = range(self.commits + 1, self.commits + commits + 1)
            self.commits += commits
            lost = next((number for number in numbers if self._loses(number)), None)
            if lost is not None:
                self.lost.append(lost)
            return lost

    def pass_on(self, data: bytes, to: socket.socket, *, is_answer: bool) -> None:
        """Send data on, when and as the network is."""
        self._flows.wait()
        if is_answer and self._delay_seconds:
            time.sleep(self._delay_seconds)
        to.sendall(data)

    @property
    def is_silent_after_loss(self) -> bool:
        """Tell whether a client whose answer is lost hears nothing at all."""
        return self._is_silent_after_loss


class CuttingProxy(Proxy):
    """Reset the connections once, when clients have sent so many bytes more: ``cuts_after``, None for never.

    While it ``keeps_answers`` none of them arrives.
    """

    cuts_after: int | None = None
    keeps_answers = False

    def pass_on(self, data: bytes, to: socket.socket, *, is_answer: bool) -> None:
        """Send data on, or cut."""
        if not is_answer and self.cuts_after is not None:
            self.cuts_after -= len(data)
            if self.cuts_after < 0:
                self.cuts_after = None
                self.reset()
                return
        if not (is_answer and self.keeps_answers):
            super().pass_on(data, to, is_answer=is_answer)


class _Connection:
    """Carry one connection, on two threads."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket, wire: Wire | None) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._wire = wire
        self._swallows = threading.Event()

    def start(self) -> None:
        for work in (self._carry_requests, self._carry_answers):
            threading.Thread(target=self._until_closed, args=(work,), name="proxy-connection", daemon=True).start()

    def reset(self) -> None:
        for one in (self._client, self._server):
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _until_closed(self, work: Callable[[], None]) -> None:
        with suppress(OSError):
            work()
        if not (self._swallows.is_set() and self._proxy.is_silent_after_loss):
            for one in (self._client, self._server):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _carry_requests(self) -> None:
        while data := self._client.recv(_CHUNK):
            if self._wire is not None:
                if (reply := self._wire.reply_to(data)) is not None:
                    self._client.sendall(reply)
                    continue
                commits = self._wire.sent(data)
                if commits and self._proxy.count(commits) is not None:
                    self._swallows.set()
            self._proxy.pass_on(data, self._server, is_answer=False)

    def _carry_answers(self) -> None:
        while data := self._server.recv(_CHUNK):
            is_whole = self._wire is None or self._wire.answered(data)
            if not self._swallows.is_set():
                self._proxy.pass_on(data, self._client, is_answer=True)
            elif is_whole and not self._proxy.is_silent_after_loss:
                self.reset()
                return


@contextmanager
def proxy_to(url: URL) -> Iterator[tuple[Proxy, URL]]:
    """Give a proxy to the database of ``url``, and the URL that leads through it."""
    assert url.host is not None
    assert url.port is not None
    with Proxy((url.host, url.port), WIRES[url.get_backend_name()]) as proxy:
        yield proxy, url.set(host=ports.LOOPBACK, port=proxy.port)
