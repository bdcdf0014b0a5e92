"""What the commands share that run until a signal: their log, their health, and several processes of one command."""
