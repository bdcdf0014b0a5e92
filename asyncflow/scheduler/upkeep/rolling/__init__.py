"""Roll-over on the run side: finished tasks are moved; tables are made ahead, closed, and dropped in the end."""
