"""The version of the tables, which is raised with each change of them."""

SCHEMA_VERSION = 1
OLDEST_BESIDE = 0  # the oldest whose instances can work beside those of this one; 0 are those that tell none
