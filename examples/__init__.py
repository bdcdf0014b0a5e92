"""Runnable examples; each is a test fixture as well."""
