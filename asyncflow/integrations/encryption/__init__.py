"""Encrypt payloads with AES-256-GCM, by keys with names, through cryptography.

The library is imported when an encryption is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.encryption.aes_gcm import AesGcm
from asyncflow.integrations.encryption.keys import make_key
from asyncflow.outbox.encryption.arriving import ArrivedMessage, decrypt_message
from asyncflow.outbox.encryption.hook import EncryptedPayload, PayloadEncryption, PayloadFacts

__all__ = [
    "AesGcm",
    "ArrivedMessage",
    "EncryptedPayload",
    "PayloadEncryption",
    "PayloadFacts",
    "decrypt_message",
    "make_key",
]
