"""Import cryptography, or say how to get it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asyncflow.errors import MissingExtraError


def aead() -> Any:
    """Return the module of AEADs; raise MissingExtraError when the library is not installed."""
    try:
        return import_module("cryptography.hazmat.primitives.ciphers.aead")
    except ImportError as error:
        line = 'pip install "asyncflow-outbox[encryption]"'
        raise MissingExtraError(f"AesGcm needs the library cryptography, which is not installed: {line}") from error
