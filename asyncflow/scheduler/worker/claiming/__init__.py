"""Claiming: tasks that are due become claims, which are renewed, and settled while their token holds."""
