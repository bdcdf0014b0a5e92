"""``asyncflow serve`` in a process of its own, for tests."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tools.services.ports import choose

ASYNCFLOW = str(Path(sys.executable).with_name("asyncflow"))
SECRET = "a-secret-of-some-length"
TOKENS = f'[[tokens]]\nname = "all"\ntoken = "{SECRET}"\nroles = ["admin"]\n'
WIRING = """
from sqlalchemy import MetaData, create_engine
from asyncflow import Outbox, Scheduler
from asyncflow.testing import MemoryPublisher

outbox = Outbox(MetaData())
outbox.task("mail")
scheduler = Scheduler(create_engine({url!r}), outbox, {{"kafka": MemoryPublisher()}})
"""


class Process:
    """Be one ``asyncflow serve``, with its client."""

    def __init__(
        self, directory: Path, url: str, *options: str, tokens: str = TOKENS, files: int | None = None
    ) -> None:
        (directory / "wiring.py").write_text(WIRING.format(url=url))
        self.tokens = directory / "tokens.toml"
        self.tokens.write_text(tokens)
        self.tokens.chmod(0o600)
        self.port = choose()
        named = () if "--insecure-no-auth" in options else ("--tokens", "tokens.toml")
        command = [ASYNCFLOW, "serve", "wiring:scheduler", "--port", str(self.port), *named, *options]
        if files is not None:
            command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
        self.log = directory / f"log-{self.port}"
        with self.log.open("w") as log:
            self.popen = subprocess.Popen(command, cwd=directory, stderr=log, text=True)
        headers = {"Authorization": f"Bearer {SECRET}"}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=120)

    def is_up(self) -> bool:
        assert self.popen.poll() is None, self.log.read_text()
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def hold(self, most: int = 10, **fields: Any) -> Any:
        body = {"worker": "w", "limits": {"mail": most}, **fields}
        return self.client.post("/v2/tasks/hold", json=body).json()["tasks"]

    def stop(self) -> tuple[int, str]:
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(120)
        return self.popen.returncode, self.log.read_text()

    @staticmethod
    def asking(path: str, fields: Any) -> bytes:
        """Return a request as it is sent on a bare connection."""
        body = json.dumps(fields)
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {SECRET}\r\n{kind}\r\n{body}".encode()

    def connect(self) -> socket.socket:
        """Return a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=120)

    def ask(self, text: bytes) -> bytes:
        """Send bytes as they are; return what is answered until the connection is closed, or nothing more comes."""
        with self.connect() as connection:
            connection.sendall(text)
            return answer_on(connection)

    def rss(self) -> int:
        """Return the megabytes that the process has in memory."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024

    def end(self) -> None:
        self.client.close()
        self.popen.kill()
        self.popen.wait(120)


def answer_on(connection: socket.socket) -> bytes:
    """Return the head of the next answer, or what came before the connection was closed."""
    got = b""
    try:
        while b"\r\n\r\n" not in got and (part := connection.recv(65536)):
            got += part
    except ConnectionError:
        pass
    return got
