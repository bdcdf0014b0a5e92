"""How long a loop waits that found nothing."""

from __future__ import annotations

LONG_SECONDS = 86400.0  # to wait, where nothing is foreseen


class AdaptivePause:
    """Double the pause with each fruitless look, from ``shortest`` up to ``longest`` seconds.

    Its loop's thread looks, any other may reset it: of the two that write at once either may be the last, and a pause
    that is once too long ends by the wake-up that comes with the reset.
    """

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = max(shortest, longest)
        self._next = shortest

    def reset(self) -> None:
        """Begin again with the shortest pause: there was work, or a commit announced some."""
        self._next = self._shortest

    def after_nothing(self, seconds_until_due: float) -> float:
        """Return the pause after a fruitless look; no longer than until the next task is due."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return max(self._shortest, min(pause, seconds_until_due))
