"""What comes of a task when it is done: the task that follows it, and its result."""
