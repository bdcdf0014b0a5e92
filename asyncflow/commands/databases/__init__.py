"""Commands on several databases: which is meant, and what all of them say together."""
