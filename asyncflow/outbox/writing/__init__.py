"""Writing: rows go into the caller's transaction, with the turns of those that are ordered."""
