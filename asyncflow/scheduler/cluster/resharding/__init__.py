"""Resharding: another number of shards, while no scheduler runs."""
