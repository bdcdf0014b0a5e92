"""The keys of ordered types: which are parked, how many rows of one go in a round, who stands behind a hot one."""
