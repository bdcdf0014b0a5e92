"""What is refused, and how it is told."""

from __future__ import annotations


class PageRefusedError(Exception):
    """Refuse a request with a status of HTTP and a sentence for a person."""

    def __init__(self, status: int, sentence: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_after_seconds = retry_after_seconds
