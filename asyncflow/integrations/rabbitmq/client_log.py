"""pika's own log lines, shown where a person asks for them."""

from __future__ import annotations

import logging


def show_client_lines(*, shown: bool) -> None:
    """Let pika write lines of its own, such as those of each connection that fails, only where they are asked for.

    What a person needs of them is in the event BreakerChanged.
    """
    logging.getLogger("pika").setLevel(logging.INFO if shown else logging.CRITICAL)
