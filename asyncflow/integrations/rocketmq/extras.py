"""Import the optional client, or say how to get it."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from asyncflow.extra_libraries import missing

_LOG = "rocketmq.v5.log.log_config"


class Client(NamedTuple):
    """Hold what is used of the official client: gRPC, the protocol made for it, and how a request is signed."""

    grpc: ModuleType
    protocol: ModuleType
    rocketmq: ModuleType
    signature: ModuleType


def client(wanted_by: str = "RocketMQPublisher") -> Client:
    """Return the parts of the client; raise MissingExtraError when it is not installed."""
    if "grpc" not in sys.modules:
        # Without it a connection that is made in the child of a fork waits for threads that only the parent has.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "true")
    try:
        grpc = import_module("grpc")
        _keep_its_log_out_of_files()
        return Client(
            grpc,
            import_module("rocketmq.grpc_protocol"),
            import_module("rocketmq"),
            import_module("rocketmq.v5.util.signature"),
        )
    except ImportError as error:
        raise missing("rocketmq-python-client", wanted_by, "rocketmq") from error


def _keep_its_log_out_of_files() -> None:
    """Give the client a logger like any other: by itself it opens a file below the home directory as it is imported.

    There may be no such directory, or none to write to. Where the application has imported the client, it stays.
    """
    if _LOG not in sys.modules:
        module = ModuleType(_LOG)
        module.logger = logging.getLogger("rocketmq-python-client")  # type: ignore[attr-defined]
        sys.modules[_LOG] = module
