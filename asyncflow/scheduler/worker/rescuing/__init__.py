"""Rescuing: claimed tasks whose worker is gone are found, and given back or failed."""
