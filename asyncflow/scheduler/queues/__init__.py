"""Queues: due tasks of some types are claimed and handed to workers elsewhere through a broker; outcomes come back."""
