"""The configuration of task types in its table, and the types as they are in force."""
