"""Counts for charts: by minute, task type and outcome, written once a minute, read without a look at tasks."""
