"""Serve tasks over HTTP, to programs that cannot reach the database; their side of it is in ``client``.

FastAPI and uvicorn are imported when a service is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.flowsvr.door.tokens import Token, Tokens
from asyncflow.integrations.flowsvr.extras import make_app
from asyncflow.integrations.flowsvr.settings import ServiceSettings

__all__ = ["ServiceSettings", "Token", "Tokens", "make_app"]
