"""What a process under test is to do, handed to it by its environment."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Literal

VARIABLE = "ASYNCFLOW_CHAOS_PLAN"
CLIENTS = ("kafka-python", "confluent-kafka")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Name the database, the topic and the client; and where the process is to kill itself, if anywhere.

    ``die_at`` is a point in its work, ``die_on`` the number of the batch or transaction, from 1.
    """

    database_url: str
    bootstrap: str
    topic: str
    client: str
    on_mock: bool
    on_success: Literal["keep", "delete"] = "keep"
    lease_seconds: float = 1.0  # short: who is started after a kill waits for it
    application: str = "shop"  # or "bank", whose messages are ordered by their accounts
    strategy: str = "MINIMAL_MOVEMENT"
    zookeeper: str = ""  # where the schedulers hear of each other; "": elsewhere
    redis: str = ""  # the same; both "": in the database
    namespace: str = ""  # of that
    session_seconds: float = 2.0  # of that
    threads: int = 4  # of a writing process
    breath_seconds: float = 0.01  # of each writing thread between two transactions
    die_at: str = ""
    die_how: str = "kill"  # or "stop", by SIGSTOP
    die_on: int = 0
    most_transactions: int = 60_000  # of a writing process, which ends after them by itself

    def as_environment(self) -> dict[str, str]:
        """Return the environment of a process that is to follow this plan."""
        return {**os.environ, VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> Plan:
        """Return the plan that this process was given."""
        return cls(**json.loads(os.environ[VARIABLE]))
