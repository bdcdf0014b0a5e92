"""The client library's own log lines, as DEBUG lines of ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

LOGGER = logging.getLogger("asyncflow.integrations.zookeeper")

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class KazooLog(_Adapter):
    """Be kazoo's logger. Its lines are DEBUG at the most: of an ensemble that is away it writes several a second.

    What a person needs of them, the session tells.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Write one line."""
        super().log(min(level, logging.DEBUG), msg, *args, **kwargs)
