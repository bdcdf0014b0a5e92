"""The reckoning: what the tables hold, against what they should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

NAMED = 5  # accounts told by name when something is off


@dataclass(frozen=True, kw_only=True)
class Gifts:
    """Compare what one service gave with who registered; each tuple holds account numbers."""

    name: str
    given: int
    lost: tuple[str, ...]  # registered, and nothing came
    twice: tuple[str, ...]  # got more than one
    strangers: tuple[str, ...]  # got one without being registered: their transaction was rolled back
    absorbed: int  # deliveries that came again and had no effect

    @property
    def deliveries(self) -> int:
        """Return how many deliveries the service took, if each gift took one."""
        return self.given + self.absorbed

    @classmethod
    def compare(cls, name: str, users: Iterable[str], given_to: Iterable[str], absorbed: int) -> Gifts:
        """Count ``given_to``, one account number for each gift, against ``users``."""
        registered, gifts = set(users), Counter(given_to)
        return cls(
            name=name,
            given=gifts.total(),
            lost=tuple(sorted(registered - gifts.keys())),
            twice=tuple(sorted(account for account, number in gifts.items() if number > 1)),
            strangers=tuple(sorted(gifts.keys() - registered)),
            absorbed=absorbed,
        )

    def faults(self) -> list[str]:
        """Tell what is off, with some account numbers; nothing if nothing is."""
        kinds = (("lost", self.lost), ("given twice", self.twice), ("given to nobody's account", self.strangers))
        return [f"{self.name}: {len(who):,} {what} ({_some(who)})" for what, who in kinds if who]


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Count the messages' rows of the outbox."""

    succeeded: int
    pending: int
    failed: int
    retries: int  # attempts spent beyond the first, over all rows


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """Hold what was read from the tables when every process had ended."""

    expected: int  # users whose registration was answered with 201
    refused: int  # registrations that were answered with 409, and rolled back
    users: int
    gifts: tuple[Gifts, ...]  # by way of the broker
    vouchers: Gifts  # by the handler
    tasks: Tasks
    messages: int  # in the topic, those that were sent twice included

    @property
    def absorbed(self) -> int:
        """Return how many deliveries the inboxes absorbed, over all services."""
        return sum(gifts.absorbed for gifts in self.gifts)

    def faults(self) -> list[str]:
        """Tell everything that is off; nothing if the numbers agree."""
        faults = [fault for gifts in (*self.gifts, self.vouchers) for fault in gifts.faults()]
        faults += [
            f"{gifts.name}: {self.messages - gifts.deliveries:,} of {self.messages:,} messages were not taken"
            for gifts in self.gifts
            if gifts.deliveries < self.messages
        ]
        if self.users != self.expected:
            faults.insert(0, f"users: {self.users:,} in the table, {self.expected:,} registered")
        if self.tasks.succeeded != self.expected:
            faults.append(f"outbox: {self.tasks.succeeded:,} rows SUCCESS, {self.expected:,} expected")
        if self.tasks.pending or self.tasks.failed:
            faults.append(f"outbox: {self.tasks.pending:,} rows PENDING, {self.tasks.failed:,} FAILED")
        return faults


def _some(accounts: tuple[str, ...]) -> str:
    more = ", …" if len(accounts) > NAMED else ""
    return ", ".join(accounts[:NAMED]) + more
