"""Routing: which of several databases the rows of a key lie in, their tasks included."""
