"""A real browser, and a server for it, on loopback."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from tests.unit.scheduler.waiting import eventually

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000  # milliseconds


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve on loopback until the end; give the address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)


@contextmanager
def chromium() -> Iterator[Any]:
    """Run Chromium until the end; the test is skipped, and says why, where there is none."""
    browsers = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: no real browser is tried"
    )
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium: no real browser is tried")
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, timeout=PATIENCE)
        yield browser
        browser.close()


def page_in(browser: Any, **options: Any) -> Any:
    """Return a page that waits as long as a busy machine needs."""
    page = browser.new_page(locale="en-GB", **options)
    page.set_default_timeout(PATIENCE)
    return page
