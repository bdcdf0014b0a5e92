"""One process, asked by itself whether it is at work: the health check of an image, of compose, of a cron job."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

import orjson

from asyncflow.errors import OptionError
from asyncflow.text import on_one_line, shown

PATIENCE_SECONDS = 3.0
_PATH = "/readyz"
_MOST_READ = 64 * 1024
_READY = 200


@dataclass(frozen=True)
class ProcessAnswer:
    """Hold what a process said of itself; ``reason`` is None if it is at work."""

    reason: str | None
    databases: Mapping[str, str] = field(default_factory=dict)  # of several, those where it is not at work, and why

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"is_at_work": self.reason is None, "reason": self.reason, "databases": dict(self.databases)}


def ask_process(url: str, patience_seconds: float = PATIENCE_SECONDS) -> ProcessAnswer:
    """Return what the process at the address of its health port, or of its task service, says within that time.

    Raises OptionError for an address of none.
    """
    parts = _parts(url)
    heard: list[ProcessAnswer] = []
    # A name that is not found and a body that drips have no limit of their own, so a thread is left to them.
    asking = threading.Thread(target=lambda: heard.append(_asked(parts, patience_seconds)), daemon=True)
    asking.start()
    asking.join(patience_seconds)
    return heard[0] if heard else ProcessAnswer(f"no answer within {patience_seconds:g} s")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_fit = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        is_fit = False
    if not is_fit or not url.isascii() or not url.isprintable() or " " in url or "@" in parts.netloc:
        raise OptionError(f"--process is {shown(url)}; give the address of its health port: http://127.0.0.1:8081")
    if parts.query or parts.fragment or parts.path.rstrip("/").endswith((_PATH, "/healthz")):
        raise OptionError(f"--process is {shown(url)}; give the address alone, {_PATH} is put behind it")
    return parts


def _asked(parts: SplitResult, patience_seconds: float) -> ProcessAnswer:
    try:
        # By no proxy, whatever the environment names: it is this machine that is meant, or its network.
        made = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = made(parts.hostname or "", parts.port, timeout=patience_seconds)
        try:
            connection.request("GET", parts.path.rstrip("/") + _PATH)
            response = connection.getresponse()
            return _read(response.status, response.read(_MOST_READ))
        finally:
            connection.close()
    except TimeoutError:
        return ProcessAnswer(f"no answer within {patience_seconds:g} s")
    except ssl.SSLError as error:
        return ProcessAnswer(f"no answer by TLS: {on_one_line(error)}")
    except (OSError, HTTPException) as error:
        return ProcessAnswer(f"no answer: {on_one_line(error) or type(error).__name__}")


def _read(status: int, body: bytes) -> ProcessAnswer:
    """Return the answer that a scheduler's health port gives, or the task service."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict) or "status" not in told:
        return ProcessAnswer(f"it answers with {status} to {_PATH}, as none of ours does; is it the health port?")
    apart = told.get("databases")
    databases = {str(name): on_one_line(fault) for name, fault in apart.items()} if isinstance(apart, dict) else {}
    if status == _READY:
        return ProcessAnswer(None, databases)
    return ProcessAnswer(
        on_one_line(told.get("reason") or told.get("detail") or f"it answers with {status}"), databases
    )
