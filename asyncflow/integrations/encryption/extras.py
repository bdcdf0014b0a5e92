"""Import cryptography, or say how to get it."""

from __future__ import annotations

from typing import Any

from asyncflow.extra_libraries import library


def aead() -> Any:
    """Return the module of AEADs; raise MissingExtraError when the library is not installed."""
    return library("cryptography.hazmat.primitives.ciphers.aead", "AesGcm", "encryption", "cryptography")
