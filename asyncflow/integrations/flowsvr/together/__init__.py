"""The task service over several databases: what each answers, put together; a slow one holds up itself alone."""
