"""The original asyncflow's routes."""
