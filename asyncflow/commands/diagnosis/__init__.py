"""Commands that tell why something waits: the doctor, and the explanation of one task."""
