"""One room for each outside thing; a room imports what it adapts to and no other room."""
