"""The heads: what is due, where, since when, and in which order it is taken."""
