"""Branches: what one scheduler has in each of its databases, each by itself, with what they share."""
