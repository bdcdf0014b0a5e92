"""The archive: finished rows are in a file before they are deleted, and whole tables before they are dropped."""
