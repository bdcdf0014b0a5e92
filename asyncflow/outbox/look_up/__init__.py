"""Look-up: tasks by id, key, type, status and time, along indexes alone, page by page."""
