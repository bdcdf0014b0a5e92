"""What the terminal asks of commands: text that fits it."""
