"""From tasks to outcomes: records, builders, publishers, breakers, the order of keys."""
