"""Transactional handlers: what they change commits with the outcome of their task, or not at all."""
