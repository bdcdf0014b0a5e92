"""Arguments of handlers: what annotations allow, and how values come back as they were."""
