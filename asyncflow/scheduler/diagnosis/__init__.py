"""The diagnosis: what does not move, since when, why, and what mends it; and why one task has not happened yet."""
