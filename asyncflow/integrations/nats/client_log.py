"""nats-py's own log lines, shown where a person asks for them."""

from __future__ import annotations

import logging


def show_client_lines(*, shown: bool) -> None:
    """Let nats-py write lines of its own only where they are asked for.

    What a person needs of them is in the event BreakerChanged.
    """
    logging.getLogger("nats").setLevel(logging.INFO if shown else logging.CRITICAL)
