"""What all rooms do with rows of the task table."""
