"""How long our own statements wait for locks, for answers and for connections."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.outbox.dialects.protocol import SessionLimits

# A statement may take as long as the most patient line waits for it; then nobody does.
SESSION = SessionLimits(
    lock_wait_seconds=1, statement_seconds=180, idle_transaction_seconds=15, user_timeout_seconds=10
)
# Not shorter: on a busy host a healthy server may take seconds to answer, and a cut costs more than it saves.
_SHORTEST_SECONDS, _LONGEST_SECONDS = 4.0, 10.0


@dataclass(frozen=True)
class Limits:
    """Limit waits; one who asks for more than a connection can do in ``silence_seconds`` is given longer each time.

    ``session`` is what the server is told: how long our statements wait for locks, and when it ends a session of ours
    that is in the middle of a transaction and says nothing, with its locks.
    """

    silence_seconds: float = _LONGEST_SECONDS  # for a transaction from begin to end; for each statement of a look
    session: SessionLimits = SESSION
    connect_seconds: float = _LONGEST_SECONDS  # for the pool to give a connection that is alive

    @classmethod
    def within(cls, lease_seconds: float) -> Limits:
        """Return limits with which a loop that hung is at work again when a lease has run out, or little later."""
        seconds = min(max(lease_seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS)
        return cls(silence_seconds=seconds, connect_seconds=seconds)


LIMITS = Limits()
OF_A_LOOK = Limits(silence_seconds=30.0)  # before the loops start: at tables that a migration may have locked
OF_USERS = Limits(silence_seconds=30.0)  # for one call by user code, of which nobody knows how long it takes
OF_A_COMMAND = Limits(silence_seconds=120.0)  # which nobody runs again after it was cut, and no lease waits for
