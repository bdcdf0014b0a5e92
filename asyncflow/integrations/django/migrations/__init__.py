"""The migrations of asyncflow's tables; each stays as it is for ever."""
