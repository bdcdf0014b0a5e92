"""What an instance tells of itself in its row, with its heartbeat: what only it can know, for the diagnosis."""
