"""The client library's own log lines, as DEBUG lines of ours."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from asyncflow.scheduler.publishing.sessions.texts import one_line

LOGGER = logging.getLogger("asyncflow.integrations.zookeeper")

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class KazooLog(_Adapter):
    """Be kazoo's logger. Its lines are DEBUG at the most: of an ensemble that is away it writes several a second.

    What a person needs of them, the session tells: ``trouble`` is what it complained of last. The client's thread
    writes.
    """

    trouble = ""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Write one line, and remember one that complains."""
        if level >= logging.WARNING:
            error = sys.exc_info()[1] if kwargs.get("exc_info") else None
            self.trouble = repr(error) if error is not None else one_line(str(msg) % args if args else str(msg), "")
        super().log(min(level, logging.DEBUG), msg, *args, **kwargs)
