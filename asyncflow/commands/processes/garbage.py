"""The garbage collection of a process that is ours: what is there once it has started is not looked through again."""

from __future__ import annotations

import gc

# What Python has by itself, in the versions that there are: who has set others has had his reasons.
_DEFAULTS = {(700, 10, 10), (2000, 10, 10), (2000, 10, 0)}
MOST_YOUNG = 50_000  # objects: more than what is in hand is made of, which then ends before it is ever looked at


def let_garbage_rest() -> None:
    """Let the collection begin anew from here, and look at what comes by the ten thousand in place of the hundred.

    Tasks in hand leave no garbage of its kind behind. Changes nothing where the application has set thresholds.
    """
    if gc.get_threshold() in _DEFAULTS:
        gc.collect()
        gc.freeze()
        gc.set_threshold(MOST_YOUNG, *gc.get_threshold()[1:])
