"""The task service over HTTP, with its client and workers in ``client``."""
