"""PgBouncer in transaction mode: each transaction may be given another session of the server."""

from __future__ import annotations

import pytest
from sqlalchemy import URL, make_url

from tools.services import load


def pooled(url: URL) -> URL:
    """Return the URL of the same database through the pooler; skips aloud where there is none."""
    address = load().pgbouncer_url
    if address is None:
        pytest.skip('no PgBouncer is up: make services SERVICES="pgbouncer"')
    pooler = make_url(address)
    return url.set(host=pooler.host, port=pooler.port)
