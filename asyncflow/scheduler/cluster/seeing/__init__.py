"""Seeing: what an instance reads of members and shards, and how long leases last by a clock that nobody can set."""
