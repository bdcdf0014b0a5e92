"""Encryption: payloads are encrypted as they are written, and decrypted where they are used at last."""
