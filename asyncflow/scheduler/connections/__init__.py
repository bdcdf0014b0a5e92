"""Connections of the run side: short transactions, limits on every wait, writes that are made again."""
