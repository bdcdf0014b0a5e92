"""The caller's transaction: what a task is written into, and what must be true of it."""
