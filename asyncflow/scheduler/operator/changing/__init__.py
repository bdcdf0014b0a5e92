"""Changing: selected tasks are changed batch by batch, each batch once, and who did it is kept with it."""
