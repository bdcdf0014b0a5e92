"""Unique keys: while a task with one waits or is at work, there comes no second task of its type with that key."""
