"""The client libraries' own log lines, as DEBUG lines of ours."""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("asyncflow.integrations.kafka")


class ClientLog:
    """Take librdkafka's lines in place of a logger.

    They are DEBUG whatever their own level: an unreachable broker writes an error for each reconnect attempt, and
    what a person needs of it comes once, in the event BreakerChanged.
    """

    def log(self, _: int, text: str, *arguments: object) -> None:
        """Write one line."""
        LOGGER.debug(text, *arguments)


def show_client_lines(*, shown: bool) -> None:
    """Let kafka-python write lines of its own, such as those of each reconnect attempt, only where they are asked for.

    As for librdkafka, what a person needs of them is in the event BreakerChanged.
    """
    logging.getLogger("kafka").setLevel(logging.INFO if shown else logging.CRITICAL)
